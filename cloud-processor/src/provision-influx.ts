/**
 * What the processor needs in InfluxDB: a database with retention policies (1.x), buckets with InfluxQL names (2.x), a database (3).
 * `tributary init` and the sink make it by the same functions; making it again does nothing.
 */
import { UserError } from '@tributary/runtime'
import type { ProcessorConfig } from './config.ts'
import {
  createInfluxConnection,
  describeInfluxError,
  type InfluxConnection,
  type InfluxMajor,
} from './influx-connection.ts'
import { type AskInflux, InfluxRefusal, type ProvisionPlace, type StorePlace } from './influx-place.ts'
import type { NoteProvision } from './make-missing.ts'
import { provisionBuckets } from './provision-buckets.ts'
import { provisionDatabase } from './provision-database.ts'
import { provisionInflux3 } from './provision-influx3.ts'

const PROVISION: Record<InfluxMajor, ProvisionPlace> = {
  1: provisionDatabase,
  2: provisionBuckets,
  3: provisionInflux3,
}

export async function provisionInflux(
  { timeout, rollup_retention, ...influx }: ProcessorConfig['influx'],
  { dryRun, signal }: { dryRun: boolean; signal: AbortSignal },
  note: NoteProvision,
): Promise<void> {
  const connection = createInfluxConnection({ ...influx, timeoutMs: timeout })
  try {
    const { major } = await connection.probe(signal)
    await provisionStore(connection, major, { ...influx, rollupRetention: rollup_retention }, { dryRun, signal }, note)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof UserError) throw error
    throw new UserError(`InfluxDB at ${influx.url} cannot be reached: ${describeInfluxError(error)}`, {
      cause: error,
      hint: 'check influx.url in the config, and that it runs',
    })
  } finally {
    await connection.close()
  }
}

/** @throws InfluxRefusal when InfluxDB does not allow it; another error when it does not answer. What was made before stays. */
export async function provisionStore(
  connection: InfluxConnection,
  major: InfluxMajor,
  place: StorePlace,
  { dryRun, signal }: { dryRun: boolean; signal: AbortSignal },
  note: NoteProvision,
): Promise<void> {
  const ask: AskInflux = async (method, path, { form, json } = {}) => {
    const body = form ?? (json === undefined ? undefined : JSON.stringify(json))
    const answer = await connection.request(method, path, {
      ...(body === undefined ? {} : { body }),
      contentType: form === undefined ? 'application/json' : 'application/x-www-form-urlencoded',
      signal,
    })
    if (answer.status < 300) return answer
    const detail = `InfluxDB answered ${answer.status} to ${method} ${path}: ${answer.body.trim().slice(0, 300)}`
    throw new InfluxRefusal(detail, answer.status, hintOf(answer.status))
  }
  await PROVISION[major](place, ask, dryRun, note)
}

const hintOf = (status: number): string =>
  status === 401 || status === 403
    ? 'give a user (1.x) or token (2.x, 3) that may create databases or buckets, to `tributary init` alone if you like'
    : 'check influx.version and influx.org in the config'
