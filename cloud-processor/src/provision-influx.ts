/** Database and retention policies by InfluxQL (1.x); buckets and their InfluxQL names by the API (2.x). */
import { UserError } from '@tributary/runtime'
import type { ProcessorConfig } from './config.ts'
import { createInfluxConnection, describeInfluxError, type InfluxAnswer } from './influx-connection.ts'
import { makeMissing, type Provision, type ProvisionOptions } from './provision.ts'

type Influx = ProcessorConfig['influx']
type Request = (method: 'GET' | 'POST', path: string, body?: { form?: string; json?: unknown }) => Promise<InfluxAnswer>

const POLICIES = ['autogen', 'rollup'] as const
const SECONDS = { m: 60, h: 3_600, d: 86_400, w: 604_800 } as const

export async function provisionInflux(
  influx: Influx,
  { dryRun, signal }: ProvisionOptions,
  note: (one: Provision) => void,
): Promise<void> {
  const connection = createInfluxConnection({ ...influx, timeoutMs: influx.timeout })
  const reaching = async <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      signal.throwIfAborted()
      throw new UserError(`InfluxDB at ${influx.url} cannot be reached: ${describeInfluxError(error)}`, {
        cause: error,
        hint: 'check influx.url in the config, and that it runs',
      })
    })
  const request: Request = async (method, path, { form, json } = {}) => {
    const body = form ?? (json === undefined ? undefined : JSON.stringify(json))
    const answer = await reaching(
      connection.request(method, path, {
        ...(body === undefined ? {} : { body }),
        contentType: form === undefined ? 'application/json' : 'application/x-www-form-urlencoded',
        signal,
      }),
    )
    if (answer.status < 300) return answer
    throw new UserError(
      `InfluxDB answered ${answer.status} to ${method} ${path}: ${answer.body.trim().slice(0, 300)}`,
      {
        hint:
          answer.status === 401 || answer.status === 403
            ? 'give a user (1.x) or token (2.x) that may create databases or buckets, for this command alone if you like'
            : 'check influx.version and influx.org in the config',
      },
    )
  }
  try {
    const { major } = await reaching(connection.probe(signal))
    await (major === 1 ? provisionDatabase : provisionBuckets)(influx, request, dryRun, note)
  } finally {
    await connection.close()
  }
}

const quote = (name: string): string => `"${name.replace(/\\/g, '\\\\').replace(/"/g, '\\"')}"`

async function provisionDatabase(
  { database, rollup_retention }: Influx,
  request: Request,
  dryRun: boolean,
  note: (one: Provision) => void,
): Promise<void> {
  const ask = async (statement: string): Promise<unknown[][]> => {
    const { body } = await request('POST', '/query', { form: new URLSearchParams({ q: statement }).toString() })
    const result = (JSON.parse(body) as { results: { error?: string; series?: { values?: unknown[][] }[] }[] })
      .results[0]
    if (result?.error !== undefined) throw new UserError(`InfluxDB refused ${statement}: ${result.error}`)
    return result?.series?.[0]?.values ?? []
  }
  const exists = (await ask('SHOW DATABASES')).some(([name]) => name === database)
  const make = async (statement: string) => void (await ask(statement))
  note(
    await makeMissing(
      { place: 'influxdb', what: 'database', name: database },
      { exists, dryRun, make: () => make(`CREATE DATABASE ${quote(database)}`) },
    ),
  )
  const policies = exists || !dryRun ? await ask(`SHOW RETENTION POLICIES ON ${quote(database)}`) : []
  const standard = policies.find(([, , , , isDefault]) => isDefault)?.[0]
  for (const policy of POLICIES) {
    const found = policies.find(([name]) => name === policy)
    const wanted = (policy === 'rollup' ? rollup_retention : undefined) ?? 'INF'
    const seconds = found && goDurationSeconds(String(found[1]))
    const on = `RETENTION POLICY ${quote(policy)} ON ${quote(database)}`
    const create = `CREATE ${on} DURATION ${wanted} REPLICATION 1${policy === 'autogen' ? ' DEFAULT' : ''}`
    // Whose default it is is for its owner to say: raw data goes there.
    const isOther = policy === 'autogen' && standard !== undefined && standard !== policy
    let difference = ''
    if (isOther)
      difference = `raw data goes to "${standard}", the default: ${found ? `ALTER ${on} DEFAULT` : create} changes it`
    else if (policy === 'rollup' && seconds !== undefined && seconds !== secondsOf(rollup_retention))
      difference = `it keeps ${seconds === 0 ? 'for ever' : found?.[1]}, the config says ${wanted}: ALTER ${on} DURATION ${wanted} changes it`
    note(
      await makeMissing(
        { place: 'influxdb', what: 'retention policy', name: `${database}.${policy}` },
        { exists: !!found || isOther, difference, dryRun, make: () => make(create) },
      ),
    )
  }
}

async function provisionBuckets(
  { database, org, rollup_retention }: Influx,
  request: Request,
  dryRun: boolean,
  note: (one: Provision) => void,
): Promise<void> {
  const orgs = await request('GET', `/api/v2/orgs?org=${encodeURIComponent(org ?? '')}`)
  const orgID = (JSON.parse(orgs.body) as { orgs?: { id: string }[] }).orgs?.[0]?.id
  if (orgID === undefined)
    throw new UserError(`InfluxDB has no organisation "${org ?? ''}"`, { hint: 'correct influx.org in the config' })
  const mapped = JSON.parse(
    (await request('GET', `/api/v2/dbrps?orgID=${orgID}&db=${encodeURIComponent(database)}`)).body,
  ) as { content?: { retention_policy: string; bucketID: string }[] }
  for (const policy of POLICIES) {
    const name = `${database}/${policy}`
    const { buckets = [] } = JSON.parse(
      (await request('GET', `/api/v2/buckets?orgID=${orgID}&name=${encodeURIComponent(name)}`)).body,
    ) as { buckets?: { id: string; retentionRules?: { everySeconds: number }[] }[] }
    let bucketID = buckets[0]?.id
    const everySeconds = policy === 'rollup' ? secondsOf(rollup_retention) : 0
    const seconds = buckets[0]?.retentionRules?.[0]?.everySeconds ?? 0
    const difference =
      policy === 'rollup' && bucketID !== undefined && seconds !== everySeconds
        ? `it keeps ${seconds === 0 ? 'for ever' : `${seconds} s`}, the config says ${rollup_retention ?? 'for ever'}: \`influx bucket update --id ${bucketID} --retention ${rollup_retention ?? 0}\` changes it`
        : ''
    const makeBucket = async () => {
      const retentionRules = everySeconds === 0 ? [] : [{ type: 'expire', everySeconds }]
      const made = await request('POST', '/api/v2/buckets', { json: { orgID, name, retentionRules } })
      bucketID = (JSON.parse(made.body) as { id: string }).id
    }
    note(
      await makeMissing(
        { place: 'influxdb', what: 'bucket', name },
        { exists: bucketID !== undefined, difference, dryRun, make: makeBucket },
      ),
    )
    // InfluxDB answers for a bucket named so even without a mapping, but a mapping to another bucket would win.
    const mapping = mapped.content?.find(({ retention_policy }) => retention_policy === policy)
    const makeMapping = async () => {
      const json = { orgID, bucketID, database, retention_policy: policy, default: policy === 'autogen' }
      await request('POST', '/api/v2/dbrps', { json })
    }
    note(
      await makeMissing(
        { place: 'influxdb', what: 'InfluxQL name', name: `${database}.${policy}` },
        {
          exists: mapping !== undefined,
          difference:
            mapping === undefined || mapping.bucketID === bucketID
              ? ''
              : `it means bucket ${mapping.bucketID}, not ${bucketID ?? name}: \`influx v1 dbrp delete\` removes it`,
          dryRun,
          make: makeMapping,
        },
      ),
    )
  }
}

/** `90d` → seconds; 0: for ever. */
function secondsOf(duration: string | undefined): number {
  if (duration === undefined) return 0
  return Number(duration.slice(0, -1)) * SECONDS[duration.slice(-1) as keyof typeof SECONDS]
}

/** `2160h0m0s`, as SHOW RETENTION POLICIES writes it, → seconds. */
function goDurationSeconds(text: string): number {
  const [, hours = 0, minutes = 0, seconds = 0] = (/^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text) ?? []).map(Number)
  return (hours || 0) * 3_600 + (minutes || 0) * 60 + (seconds || 0)
}
