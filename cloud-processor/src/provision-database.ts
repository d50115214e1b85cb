/** 1.x: a database with the retention policies `autogen` (default) and `rollup`, by InfluxQL. */

import { InfluxRefusal, type ProvisionPlace, secondsOf } from './influx-place.ts'
import { makeMissing } from './make-missing.ts'

const POLICIES = ['autogen', 'rollup'] as const

export const provisionDatabase: ProvisionPlace = async ({ database, rollupRetention }, ask, dryRun, note) => {
  const run = async (statement: string): Promise<unknown[][]> => {
    const { body } = await ask('POST', '/query', { form: new URLSearchParams({ q: statement }).toString() })
    const [result] = (JSON.parse(body) as { results: { error?: string; series?: { values?: unknown[][] }[] }[] })
      .results
    if (result?.error !== undefined)
      throw new InfluxRefusal(`InfluxDB refused ${statement}: ${result.error}`, 403, 'let a user with the right do it')
    return result?.series?.[0]?.values ?? []
  }
  const make = async (statement: string) => void (await run(statement))
  const exists = (await run('SHOW DATABASES')).some(([name]) => name === database)
  note(
    await makeMissing(
      { place: 'influxdb', what: 'database', name: database },
      { exists, dryRun, make: () => make(`CREATE DATABASE ${quote(database)}`) },
    ),
  )
  const policies = exists || !dryRun ? await run(`SHOW RETENTION POLICIES ON ${quote(database)}`) : []
  for (const policy of POLICIES) {
    const found = policies.find(([name]) => name === policy)
    const wanted = (policy === 'rollup' ? rollupRetention : undefined) ?? 'INF'
    const seconds = found && goDurationSeconds(String(found[1]))
    const on = `RETENTION POLICY ${quote(policy)} ON ${quote(database)}`
    const isDefault = policy === 'autogen' ? ' DEFAULT' : ''
    const difference =
      policy === 'rollup' && seconds !== undefined && seconds !== secondsOf(rollupRetention)
        ? `it keeps ${seconds === 0 ? 'for ever' : found?.[1]}, the config says ${wanted}: ALTER ${on} DURATION ${wanted} changes it`
        : ''
    note(
      await makeMissing(
        { place: 'influxdb', what: 'retention policy', name: `${database}.${policy}` },
        {
          exists: !!found,
          difference,
          dryRun,
          make: () => make(`CREATE ${on} DURATION ${wanted} REPLICATION 1${isDefault}`),
        },
      ),
    )
  }
}

const quote = (name: string): string => `"${name.replace(/\\/g, '\\\\').replace(/"/g, '\\"')}"`

/** `2160h0m0s`, as SHOW RETENTION POLICIES writes it, → seconds. */
function goDurationSeconds(text: string): number {
  const [, hours = 0, minutes = 0, seconds = 0] = (/^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text) ?? []).map(Number)
  return (hours || 0) * 3_600 + (minutes || 0) * 60 + (seconds || 0)
}
