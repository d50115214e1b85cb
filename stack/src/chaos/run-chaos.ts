/**
 * A chaos run: the pipeline as real processes under load, one fault after another from shuffled decks, and after each of them the
 * account, value by value. Stops at the first round that is not well, and keeps everything that could say why.
 */
import { messageOf, systemClock } from '@tributary/runtime'
import { settle } from '../settle.ts'
import type { Span } from '../stored-values.ts'
import { type ChaosReport, faultTable, type RoundResult } from './chaos-report.ts'
import { clockFaults } from './clock-faults.ts'
import type { Fault, FaultContext } from './fault.ts'
import { linkFaults } from './link-faults.ts'
import { processFaults } from './process-faults.ts'
import { createDealer, createRandom } from './random.ts'
import { type Abilities, createRig, type Rig } from './rig.ts'
import { awaitRecovery, checkRound } from './round-check.ts'
import { serialFaults } from './serial-faults.ts'
import { siteViewFaults } from './site-view-faults.ts'
import { storageFaults } from './storage-faults.ts'

export const FAULTS: readonly Fault[] = [
  ...processFaults,
  ...linkFaults,
  ...storageFaults,
  ...serialFaults,
  ...clockFaults,
  ...siteViewFaults,
]

export interface ChaosOptions {
  /** An empty folder for everything that is written. */
  readonly folder: string
  readonly rounds: number
  readonly seed: number
  /** Of `FAULTS`, those that are wanted and possible here. */
  readonly faults: readonly Fault[]
  readonly abilities: Abilities
  readonly ratePerSecond?: number | undefined
  /** Long work and what is done now, a sentence each. */
  readonly say: (text: string) => void
  readonly onRound: (result: RoundResult) => void
  /** Ends the run between two steps; what was found until then is reported. */
  readonly signal: AbortSignal
  /** For tests: called with the running pipeline before each round is checked. */
  readonly beforeCheck?: (rig: Rig, round: number) => Promise<void>
}

/** Load before the first fault: every device was heard, detectors have seen something. */
const WARM_UP_MS = 6_000
const LOAD_BEFORE_MS = { low: 1_000, high: 4_000 }
/** Load after the fault before the account is taken. */
const LOAD_AFTER_MS = 3_000
const RECOVERY_MS_MAX = 120_000
/** What was measured less than this ago is on its way. */
const ON_THEIR_WAY_MS = 3_000
/** A verified span is verified again with the next one for so long: what a later fault does to it is seen then. */
const OVERLAP_MS = 60_000
/** Windows of a minute must lie in the span altogether, and close a moment after their end. */
const WINDOW_OVERLAP_MS = 150_000
const WINDOW_CLOSES_MS = 6_000
const SETTLE_MS_MAX = 90_000

export async function runChaos(
  options: ChaosOptions,
): Promise<Omit<ChaosReport, 'notAvailable' | 'substitutes' | 'keptIn'>> {
  const { seed, faults, say, signal } = options
  const startedAt = new Date(systemClock.wallMs()).toISOString()
  const startedMs = systemClock.monotonicMs()
  const rounds: RoundResult[] = []
  const mistakes: string[] = []
  let whole: ChaosReport['whole'] = null
  const rig = await createRig({ ...options, siteView: faults.some(({ needsSiteView }) => needsSiteView) })
  try {
    say(`Starting ${rig.pipeline.processes.map(({ name }) => name).join(', ')} …`)
    await rig.start(signal)
    await systemClock.sleep(WARM_UP_MS, signal)
    const run = createRounds(rig, options)
    while (rounds.length < options.rounds && mistakes.length === 0) {
      const result = await run(rounds.length + 1).catch((error: unknown) => {
        if (signal.aborted) throw error
        mistakes.push(`round ${rounds.length + 1} could not be carried out: ${messageOf(error)}`)
      })
      if (result === undefined) break
      rounds.push(result)
      options.onRound(result)
      mistakes.push(...result.mistakes)
    }
    if (mistakes.length === 0) {
      say('Stopping the devices, and comparing every value of the whole run …')
      const found = await checkWhole(rig, signal)
      whole = found.whole
      mistakes.push(...found.mistakes)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    await rig.stop()
  }
  return {
    seed,
    date: startedAt,
    seconds: Math.round((systemClock.monotonicMs() - startedMs) / 1000),
    roundsAsked: options.rounds,
    rounds,
    table: faultTable(
      faults.map(({ kind }) => kind),
      rounds,
    ),
    whole,
    versions: rig.pipeline.versions,
    mistakes,
  }
}

function createRounds(rig: Rig, options: ChaosOptions): (round: number) => Promise<RoundResult> {
  const { faults, signal, say } = options
  const random = createRandom(options.seed)
  const dealFault = createDealer(faults, random)
  const dealVariant = new Map(faults.map((fault) => [fault.kind, createDealer(fault.variants, random)]))
  const calm: Span[] = []
  let verifiedUntilMs = systemClock.wallMs() - WARM_UP_MS
  let calmFromMs = verifiedUntilMs

  return async (round) => {
    const fault = dealFault()
    const variant = dealVariant.get(fault.kind)?.() ?? ''
    const context: FaultContext = {
      random: createRandom(options.seed * 100_003 + round),
      say: (text) => say(`        ${text}`),
      signal,
      sleep: (delayMs) => systemClock.sleep(delayMs, signal),
    }
    say(`round ${round}: ${fault.kind}: ${variant} …`)
    await context.sleep(context.random.between(LOAD_BEFORE_MS.low, LOAD_BEFORE_MS.high))
    const beganMs = systemClock.monotonicMs()
    calm.push({ fromMs: calmFromMs, untilMs: systemClock.wallMs() })
    await fault.run(rig, variant, context)
    const endedMs = systemClock.monotonicMs()
    const endedAtMs = systemClock.wallMs()
    const span = { fromMs: verifiedUntilMs - OVERLAP_MS, untilMs: endedAtMs }
    const obstacle = await awaitRecovery(rig, { span, timeoutMs: RECOVERY_MS_MAX, signal })
    const recoveryMs = systemClock.monotonicMs() - endedMs
    calmFromMs = systemClock.wallMs()
    await context.sleep(Math.max(0, LOAD_AFTER_MS - recoveryMs))
    await options.beforeCheck?.(rig, round)

    const untilMs = systemClock.wallMs() - ON_THEIR_WAY_MS
    const found = await checkRound(rig, {
      span: { fromMs: span.fromMs, untilMs },
      windowSpan: { fromMs: verifiedUntilMs - WINDOW_OVERLAP_MS, untilMs: untilMs - WINDOW_CLOSES_MS },
      calm,
      signal,
    })
    verifiedUntilMs = untilMs
    const { produced, missing, duplicates, windowsChecked } = found
    const late = obstacle === undefined ? [] : [`not recovered after ${RECOVERY_MS_MAX / 1000} s: ${obstacle}`]
    return {
      round,
      fault: fault.kind,
      variant,
      faultSeconds: tenths(endedMs - beganMs),
      recoverySeconds: obstacle === undefined ? tenths(recoveryMs) : null,
      readings: produced,
      missing,
      duplicates,
      windowsChecked,
      mistakes: [...late, ...found.mistakes],
    }
  }
}

/** The whole run once more, with nothing on its way. */
async function checkWhole(
  rig: Rig,
  signal: AbortSignal,
): Promise<{ whole: NonNullable<ChaosReport['whole']>; mistakes: string[] }> {
  const settled = await settle(rig.pipeline, { timeoutMs: SETTLE_MS_MAX, signal })
  const everything = { span: undefined, windowSpan: undefined, calm: [] }
  const { mistakes, ...found } = await checkRound(rig, { ...everything, signal })
  const lostAtDevice = found.produced - found.stored - found.deadLettered - found.shed - found.missing
  return {
    whole: { ...found, lostAtDevice },
    mistakes: [...(settled ? [] : [`not settled ${SETTLE_MS_MAX / 1000} s after the devices stopped`]), ...mistakes],
  }
}

const tenths = (ms: number) => Math.round(ms / 100) / 10
