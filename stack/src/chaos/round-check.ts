/** What is asserted after every round: everything accounted for, each value right and stored once, windows and alerts right. */
import { readLedgerEvents } from '@tributary/firmware-sim'
import { systemClock } from '@tributary/runtime'
import { type AccountAnswer, type AgentFigures, askJson } from '../live-figures.ts'
import { answers } from '../managed-process.ts'
import { type Comparison, compareWithStore, type Span } from '../stored-values.ts'
import { checkWindows } from '../window-check.ts'
import { mistakesInAlerts } from './alert-check.ts'
import type { Rig } from './rig.ts'

export interface RoundAccount {
  /** Readings that were measured in the span and looked up one by one. */
  readonly produced: number
  readonly stored: number
  readonly deadLettered: number
  readonly shed: number
  readonly missing: number
  readonly duplicates: number
  readonly wrong: number
  readonly windowsChecked: number
  /** Alerts that people were told of so far. */
  readonly alerts: number
  /** What is wrong, a sentence each; empty when all is well. */
  readonly mistakes: readonly string[]
}

export interface CheckOptions {
  /** Whose measurements are compared; undefined: everything, and also whether something was never measured. */
  readonly span: Span | undefined
  /** Windows that must be complete by now; undefined: all but the newest. */
  readonly windowSpan: Span | undefined
  readonly calm: readonly Span[]
  readonly signal: AbortSignal
}

const LOOK_MS = 500
/** An agent under load always has a batch or two on their way. */
const BACKLOG_BATCHES_MAX = 3
/** Readings on their way and windows about to close are waited for. */
const SETTLE_MS_MAX = 45_000
const MISTAKES_MAX = 12

/**
 * Waits until everything that was measured in the span is accounted for, every process does its work and no backlog is left.
 * @returns undefined, or what was still not well when the time was over
 */
export async function awaitRecovery(
  rig: Rig,
  { span, timeoutMs, signal }: { span: Span; timeoutMs: number; signal: AbortSignal },
): Promise<string | undefined> {
  const deadlineMs = systemClock.monotonicMs() + timeoutMs
  for (;;) {
    const obstacle = await whyUnsettled(rig, span, signal)
    if (obstacle === undefined || systemClock.monotonicMs() > deadlineMs) return obstacle
    await systemClock.sleep(LOOK_MS, signal)
  }
}

async function whyUnsettled(rig: Rig, span: Span, signal: AbortSignal): Promise<string | undefined> {
  const { pipeline } = rig
  for (const [name, url] of [
    ['the processor', `${pipeline.urls.processor}/readyz`],
    ['the gateway', `${pipeline.urls.gateway}/healthz`],
  ] as const)
    if (!(await answers(url))) return `${name} is not ready`
  for (const [i, url] of pipeline.urls.agents.entries()) {
    const name = pipeline.agents[i]?.name
    const agent = await askJson<AgentFigures>(`${url}/status`)
    if (agent === undefined) return `${name} does not answer`
    if (agent.backlogBatches > BACKLOG_BATCHES_MAX) return `${agent.backlogBatches} batches wait at ${name}`
  }
  const gap = await openGap(rig)
  if (gap !== undefined) return gap
  const { absent, examples } = await compare(rig, span, signal)
  const missing = absent - (await shedReadings(rig))
  return missing > 0 ? `${missing} readings are not accounted for: ${examples[0] ?? ''}` : undefined
}

/** The processor's own account of the agents and the gateway: a gap in what it has received. */
async function openGap({ pipeline }: Rig): Promise<string | undefined> {
  const account = await askJson<AccountAnswer>(`${pipeline.urls.processor}/account`)
  if (account === undefined) return 'the processor does not tell its account'
  const names = [...pipeline.agents, pipeline.gateway].map(({ name }) => name)
  for (const row of account.agents.filter(({ agent }) => names.includes(agent))) {
    const { agent, produced, stored, deadLettered, shed, inFlight, missing } = row
    if (inFlight + missing !== 0 || produced !== stored + deadLettered + shed)
      return `${agent}: ${produced} produced, ${stored} stored, ${deadLettered} dead-lettered, ${shed} shed, ${inFlight} in flight, ${missing} missing`
  }
  return undefined
}

async function shedReadings({ pipeline }: Rig): Promise<number> {
  return (await askJson<AccountAnswer>(`${pipeline.urls.processor}/account`))?.total.shed ?? 0
}

async function compare(rig: Rig, span: Span | undefined, signal: AbortSignal): Promise<Comparison> {
  await rig.tap.readLetters()
  return compareWithStore(rig.pipeline, rig.tap.refused, signal, span)
}

/** Asks again for a while, until all is well: readings may be on their way, and windows about to close. */
export async function checkRound(rig: Rig, options: CheckOptions): Promise<RoundAccount> {
  const deadlineMs = systemClock.monotonicMs() + SETTLE_MS_MAX
  for (;;) {
    const found = await lookOnce(rig, options)
    if (found.mistakes.length === 0 || found.duplicates + found.wrong > 0 || systemClock.monotonicMs() > deadlineMs)
      return found
    await systemClock.sleep(LOOK_MS, options.signal)
  }
}

async function lookOnce(rig: Rig, { span, windowSpan, calm, signal }: CheckOptions): Promise<RoundAccount> {
  const { ledgerFolder } = rig.pipeline
  const found = await compare(rig, span, signal)
  const shed = Math.min(found.absent - found.wrong, await shedReadings(rig))
  const missing = found.absent - shed
  const windows = await checkWindows(rig.pipeline, signal, windowSpan)
  const anomalies = (await readLedgerEvents(ledgerFolder)).filter((event) => event.type === 'anomaly')
  const alertMistakes = mistakesInAlerts(rig.heard, anomalies, calm)
  const gap = await openGap(rig)
  const mistakes = [
    ...(missing + found.duplicates > 0
      ? [`${missing} readings missing (${found.wrong} of them wrong), ${found.duplicates} doubled`, ...found.examples]
      : []),
    ...(gap === undefined ? [] : [`the account does not balance: ${gap}`]),
    ...(windows.wrong.length > 0
      ? [`${windows.wrong.length} windows differ from their readings`, ...windows.wrong.slice(0, MISTAKES_MAX)]
      : []),
    ...alertMistakes.slice(0, MISTAKES_MAX),
  ]
  const { produced, stored, deadLettered, duplicates, wrong } = found
  const alerts = rig.heard.filter(({ payload }) => payload.state === 'firing').length
  return {
    produced,
    stored,
    deadLettered,
    shed,
    missing,
    duplicates,
    wrong,
    windowsChecked: windows.checked,
    alerts,
    mistakes,
  }
}
