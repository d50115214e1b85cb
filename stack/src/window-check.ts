/**
 * Every window against its readings, computed the plain way (`plain-windows.ts`), of all widths and fields of the contracts: from the
 * simulator's ledger, or from the single readings in the same store.
 *
 * A window is compared when it ended before the devices stopped, or before the newest reading of its device by a moment: it must be
 * there then, and final. One that is not there is wrong, not left out.
 */
import type { InfluxQuery } from '@tributary/cloud-processor'
import { openOracle, readLedgerEvents } from '@tributary/firmware-sim'
import { type Contract, type Contracts, readContracts, windowWidthsOf } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { askJson } from './live-figures.ts'
import type { Pipeline } from './pipeline.ts'
import { plainWindows, type Readings } from './plain-windows.ts'
import type { RefusedReadings } from './refused-readings.ts'
import type { Span } from './stored-values.ts'
import { devicesOf, readingsInStore, readingsOf, samplesOfLedger } from './window-readings.ts'
import {
  compareRows,
  createWindowCheck,
  readRows,
  type WindowCheck,
  type WindowKey,
  windowKeyOf,
} from './window-rows.ts'

/** Kinds of simulated devices. What the pipeline says of itself goes on while it is compared. */
const KINDS = ['vibration', 'climate', 'power', 'tank']
/** Behind the newest reading a window may still be open. */
const OPEN_MS = 3_000
const QUERY_MS_MAX = 60_000
const LOOK_MS = 500
const SAY_EVERY_MS = 5_000

/** The processor's list of windows to be recomputed. */
interface DirtyAnswer {
  readonly windows: readonly WindowKey[]
  readonly count: number
}

interface Device {
  readonly contract: Contract
  readonly device: string
  readonly readings: Readings
}

/**
 * Of the single readings in the store.
 * @param span only windows that lie in it altogether
 */
export async function checkWindows(
  { query, contractsFolder }: Pick<Pipeline, 'query' | 'contractsFolder'>,
  signal: AbortSignal,
  span: Span = { fromMs: Number.NEGATIVE_INFINITY, untilMs: Number.POSITIVE_INFINITY },
): Promise<WindowCheck> {
  const contracts = await readContracts(contractsFolder)
  const check = createWindowCheck()
  const limit = () => AbortSignal.any([signal, AbortSignal.timeout(QUERY_MS_MAX)])
  const fromMs = Number.isFinite(span.fromMs) ? Math.floor(span.fromMs) : undefined
  for (const kind of KINDS) {
    const contract = contractOf(contracts, kind)
    for (const [device, readings] of await readingsInStore(query, contract, { fromMs }, limit())) {
      let newestMs = Number.NEGATIVE_INFINITY
      for (const { timesMs } of readings.values()) newestMs = Math.max(newestMs, timesMs.at(-1) ?? newestMs)
      const endMsMax = Math.min(newestMs - OPEN_MS, span.untilMs)
      const isDue = (startMs: number, widthMs: number) => startMs >= span.fromMs && startMs + widthMs <= endMsMax
      await compareDevice(query, { contract, device, readings }, isDue, new Set(), limit(), check, fromMs)
    }
  }
  return check
}

/**
 * Of the simulator's ledger. To be called when everything has arrived: waits until no window is dirty and all of them are right, at
 * most until the time is over.
 */
export async function settleWindows(
  pipeline: Pick<Pipeline, 'query' | 'contractsFolder' | 'ledgerFolder' | 'urls'>,
  refused: Pick<RefusedReadings, 'has'>,
  {
    timeoutMs,
    signal,
    say = () => undefined,
  }: { timeoutMs: number; signal: AbortSignal; say?: (text: string) => void },
): Promise<WindowCheck> {
  const { query, contractsFolder, ledgerFolder } = pipeline
  const deadlineMs = systemClock.monotonicMs() + timeoutMs
  const isOver = () => systemClock.monotonicMs() > deadlineMs
  let dirty = await askDirty(pipeline)
  for (let saidAtMs = Number.NEGATIVE_INFINITY; dirty.count > 0 && !isOver(); dirty = await askDirty(pipeline)) {
    if (systemClock.monotonicMs() - saidAtMs >= SAY_EVERY_MS) {
      saidAtMs = systemClock.monotonicMs()
      say(`  ${dirty.count} windows wait to be recomputed from the store`)
    }
    await systemClock.sleep(LOOK_MS, signal)
  }
  const contracts = await readContracts(contractsFolder)
  const oracle = await openOracle(ledgerFolder)
  const stoppedMs = await stoppedAtMs(ledgerFolder)
  const isDue = (startMs: number, widthMs: number) => startMs + widthMs <= stoppedMs
  const all = createWindowCheck()
  if (dirty.count > dirty.windows.length) all.wrong.push(`${dirty.count} windows wait to be recomputed`)
  const dirtyKeys = new Set(dirty.windows.map(windowKeyOf))
  for (const [device, { config, kind }] of devicesOf(oracle)) {
    const contract = contractOf(contracts, kind)
    const readings =
      config.clock === 'none'
        ? ((await readingsInStore(query, contract, { device }, signal)).get(device) ?? new Map())
        : readingsOf(await samplesOfLedger(pipeline, oracle, contract, device, refused, signal))
    let found = createWindowCheck()
    for (;;) {
      await compareDevice(query, { contract, device, readings }, isDue, dirtyKeys, signal, found)
      if (found.wrong.length === 0 || isOver()) break
      await systemClock.sleep(LOOK_MS, signal)
      found = createWindowCheck()
    }
    all.checked += found.checked
    for (const [width, count] of Object.entries(found.byWidth)) all.byWidth[width] = (all.byWidth[width] ?? 0) + count
    all.fields += found.fields
    all.open += found.open
    all.wrong.push(...found.wrong)
  }
  return all
}

async function compareDevice(
  query: InfluxQuery,
  { contract, device, readings }: Device,
  isDue: (startMs: number, widthMs: number) => boolean,
  dirty: ReadonlySet<string>,
  signal: AbortSignal,
  check: WindowCheck,
  fromMs?: number,
): Promise<void> {
  const stored = await readRows(query, contract, device, signal, fromMs)
  for (const widthMs of windowWidthsOf(contract)) {
    const expected = plainWindows(contract, readings, widthMs)
    const key = { kind: contract.kind, device, widthMs }
    compareRows(key, expected, stored.get(widthMs) ?? new Map(), (startMs) => isDue(startMs, widthMs), dirty, check)
  }
}

/** One that does not answer has windows of which nobody knows. */
const askDirty = async ({ urls }: Pick<Pipeline, 'urls'>): Promise<DirtyAnswer> =>
  (await askJson<DirtyAnswer>(`${urls.processor}/dirty`)) ?? { windows: [], count: 1 }

/** When the devices stopped; of a ledger that does not say it, the time of the last event that it has. */
async function stoppedAtMs(ledgerFolder: string): Promise<number> {
  const events = await readLedgerEvents(ledgerFolder)
  return (events.findLast(({ type }) => type === 'measuring_stopped') ?? events.at(-1))?.atMs ?? 0
}

function contractOf(contracts: Contracts, kind: string): Contract {
  const contract = contracts.get(kind)
  if (contract === undefined) throw new Error(`there is no contract of the kind ${kind}`)
  return contract
}
