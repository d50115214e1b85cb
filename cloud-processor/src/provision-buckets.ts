/** 2.x: the buckets `<database>/autogen` and `<database>/rollup`, and the names by which InfluxQL finds them, by the management API. */
import { InfluxRefusal, type ProvisionPlace, secondsOf, unlessMade } from './influx-place.ts'
import { makeMissing } from './make-missing.ts'

const POLICIES = ['autogen', 'rollup'] as const

const READ_AND_WRITE =
  'let `tributary init` run with an all-access token; the processor needs one that may read and write both buckets'

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
  const inOrg = `org=${encodeURIComponent(org ?? '')}`
  const get = async <T>(path: string): Promise<T> => JSON.parse((await ask('GET', path)).body) as T
  const post = (path: string, json: object) => ask('POST', path, { json })

  async function find(name: string): Promise<Bucket | undefined> {
    const path = `/api/v2/buckets?${inOrg}&name=${encodeURIComponent(name)}`
    const { buckets = [] } = await get<{ buckets?: Bucket[] }>(path).catch((error: unknown) => {
      if (error instanceof InfluxRefusal && error.status === 404 && /bucket .*not found/.test(error.message))
        return { buckets: [undefined] }
      throw error
    })
    // It says 404 of what is not there, and nothing of what the token may not see.
    if (buckets.length > 0) return buckets[0]
    throw new InfluxRefusal(`the token may not read the bucket "${name}"`, 403, READ_AND_WRITE)
  }

  async function orgID(): Promise<string> {
    const { orgs = [] } = await get<{ orgs?: { id: string }[] }>(`/api/v2/orgs?${inOrg}`)
    if (orgs[0]) return orgs[0].id
    throw new InfluxRefusal(`the token may not make buckets in the organisation "${org}"`, 403, READ_AND_WRITE)
  }

  const { content = [] } = await get<{ content?: Mapping[] }>(
    `/api/v2/dbrps?${inOrg}&db=${encodeURIComponent(database)}`,
  )
  const mappings = content.filter((mapping) => mapping.virtual !== true)
  for (const policy of POLICIES) {
    const name = `${database}/${policy}`
    const bucket = await find(name)
    let bucketID = bucket?.id
    const everySeconds = policy === 'rollup' ? secondsOf(rollupRetention) : 0
    const seconds = bucket?.retentionRules?.[0]?.everySeconds ?? 0
    const difference =
      policy === 'rollup' && bucketID !== undefined && seconds !== everySeconds
        ? `it keeps ${seconds === 0 ? 'for ever' : `${seconds} s`}, the config says ${rollupRetention ?? 'for ever'}: \`influx bucket update --id ${bucketID} --retention ${rollupRetention ?? 0}\` changes it`
        : ''
    const makeBucket = async () => {
      const retentionRules = everySeconds === 0 ? [] : [{ type: 'expire', everySeconds }]
      await unlessMade(post('/api/v2/buckets', { orgID: await orgID(), name, retentionRules }))
      bucketID = (await find(name))?.id
    }
    note(
      await makeMissing(
        { place: 'influxdb', what: 'bucket', name },
        { exists: bucketID !== undefined, difference, dryRun, make: makeBucket },
      ),
    )
    const mapping = mappings.find(({ retention_policy }) => retention_policy === policy)
    const makeMapping = async () => {
      const wanted = { org, bucketID, database, retention_policy: policy, default: policy === 'autogen' }
      await unlessMade(post('/api/v2/dbrps', wanted))
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
