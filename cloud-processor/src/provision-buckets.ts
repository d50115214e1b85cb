/** 2.x: the buckets `<database>/autogen` and `<database>/rollup`, and the names by which InfluxQL finds them, by the management API. */
import { UserError } from '@tributary/runtime'
import { type ProvisionPlace, secondsOf } from './influx-place.ts'
import { makeMissing } from './make-missing.ts'

const POLICIES = ['autogen', 'rollup'] as const

interface Bucket {
  readonly id: string
  readonly retentionRules?: readonly { readonly everySeconds: number }[]
}
interface Mapping {
  readonly retention_policy: string
  readonly bucketID: string
  readonly default: boolean
  /** InfluxDB's own guess from the name of a bucket; never the default when the name has a slash. */
  readonly virtual?: boolean
}

export const provisionBuckets: ProvisionPlace = async ({ database, org, rollupRetention }, ask, dryRun, note) => {
  const get = async <T>(path: string): Promise<T> => JSON.parse((await ask('GET', path)).body) as T
  const post = async <T>(path: string, json: object): Promise<T> =>
    JSON.parse((await ask('POST', path, { json })).body) as T
  const { orgs = [] } = await get<{ orgs?: { id: string }[] }>(`/api/v2/orgs?org=${encodeURIComponent(org ?? '')}`)
  const orgID = orgs[0]?.id
  if (orgID === undefined) throw unknownOrg(org)
  const { content = [] } = await get<{ content?: Mapping[] }>(
    `/api/v2/dbrps?orgID=${orgID}&db=${encodeURIComponent(database)}`,
  )
  const mappings = content.filter((mapping) => mapping.virtual !== true)
  for (const policy of POLICIES) {
    const name = `${database}/${policy}`
    const { buckets = [] } = await get<{ buckets?: Bucket[] }>(
      `/api/v2/buckets?orgID=${orgID}&name=${encodeURIComponent(name)}`,
    )
    let bucketID = buckets[0]?.id
    const everySeconds = policy === 'rollup' ? secondsOf(rollupRetention) : 0
    const seconds = buckets[0]?.retentionRules?.[0]?.everySeconds ?? 0
    const difference =
      policy === 'rollup' && bucketID !== undefined && seconds !== everySeconds
        ? `it keeps ${seconds === 0 ? 'for ever' : `${seconds} s`}, the config says ${rollupRetention ?? 'for ever'}: \`influx bucket update --id ${bucketID} --retention ${rollupRetention ?? 0}\` changes it`
        : ''
    const makeBucket = async () => {
      const retentionRules = everySeconds === 0 ? [] : [{ type: 'expire', everySeconds }]
      bucketID = (await post<Bucket>('/api/v2/buckets', { orgID, name, retentionRules })).id
    }
    note(
      await makeMissing(
        { place: 'influxdb', what: 'bucket', name },
        { exists: bucketID !== undefined, difference, dryRun, make: makeBucket },
      ),
    )
    const mapping = mappings.find(({ retention_policy }) => retention_policy === policy)
    const makeMapping = async () => {
      const wanted = { orgID, bucketID, database, retention_policy: policy, default: policy === 'autogen' }
      await post('/api/v2/dbrps', wanted)
    }
    note(
      await makeMissing(
        { place: 'influxdb', what: 'InfluxQL name', name: `${database}.${policy}` },
        {
          exists: mapping !== undefined,
          difference: differenceOf(mapping, policy, bucketID ?? name),
          dryRun,
          make: makeMapping,
        },
      ),
    )
  }
}

function differenceOf(mapping: Mapping | undefined, policy: (typeof POLICIES)[number], bucket: string): string {
  if (mapping === undefined) return ''
  if (mapping.bucketID !== bucket)
    return `it means bucket ${mapping.bucketID}, not ${bucket}: \`influx v1 dbrp delete\` removes it`
  return policy === 'autogen' && !mapping.default
    ? 'it is not the default of the database: `influx v1 dbrp update --default` makes it that'
    : ''
}

/** Also in the sink's words. */
export const unknownOrg = (org: string | undefined): UserError =>
  new UserError(`InfluxDB has no organisation "${org ?? ''}", or the token is of another one`, {
    hint: 'correct influx.org in the config',
  })
