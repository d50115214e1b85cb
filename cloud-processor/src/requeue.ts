/**
 * Guarantee: a dead letter that is requeued keeps its identity (agent, epoch, sequence, index) and is stored once, however often and
 * in whatever order that is asked for; its readings move from dead-lettered to stored, to the reading, or stay dead-lettered
 * under the same id with the reason of now. One that is dropped stays dead-lettered, as `dropped`.
 *
 * Requests come through the stream of the agent's batches and are a step like any batch: the checkpoint knows them. Readings go
 * the way of late ones: written, merged into their windows, or those entered in `dirty`. Detectors do not see them, and no device
 * counts as heard of: what is repaired by hand fires and resolves nothing.
 */
import type { Contract, DeadLetter, DeviceBlock, RequeueRequest } from '@tributary/protocol'
import type { BatchScope } from './batch-scope.ts'
import { countDeadLettered, wasReceived } from './deduplicate.ts'
import type { Settlement } from './effects.ts'
import { closeWindows, foldBlock, writeTouched } from './fold-block.ts'
import { Flags, type Judged } from './judge-block.ts'
import type { LetterOriginal } from './letter-readings.ts'
import { placeBlock } from './place-block.ts'
import { addLetter, countLetter, pickSamples } from './refuse.ts'
import { judgeLetter, type LetterVerdict, sayOtherType, sayTooMany } from './requeue-check.ts'
import { writeSamples } from './sample-lines.ts'
import type { DeviceSeries } from './series.ts'
import { indexOf, isSettled, noteSettled, wasForgotten } from './settled-letters.ts'
import { extraOf } from './shape.ts'
import { type AgentState, addDirty, type EpochState, findSeries } from './state.ts'
import { windowStart } from './window.ts'

/** Of dead letters that a person gave up. */
export const DROPPED = 'dropped'

/** @param newSeries makes the series of a device that was never heard of at that site */
export function stepRequeue(
  s: BatchScope,
  { action, letter, request }: RequeueRequest,
  newSeries: (device: string, contract: Contract, site: string) => DeviceSeries,
): void {
  const { agent } = s
  const settlement = answer(s, letter, request)
  const epoch = agent.epochs.get(letter.epoch)
  if (epoch !== undefined && isSettled(epoch.settled, letter)) {
    settlement.outcome = 'settled_before'
    settlement.detail = 'it was requeued or dropped before'
    return
  }
  const obstacle = obstacleOf(epoch, letter)
  if (action === 'drop') drop(agent, obstacle === undefined ? epoch : undefined, letter, settlement)
  else if (epoch === undefined || obstacle !== undefined) settlement.detail = obstacle ?? ''
  else requeue(s, epoch, letter, settlement, newSeries)
}

/** A request that this state can do nothing for, because it knows nothing of the agent. */
export function answerStranger(
  s: Pick<BatchScope, 'effects' | 'receivedAtMs'>,
  { action, letter, request }: RequeueRequest,
): void {
  const settlement = answer(s, letter, request)
  if (action === 'drop') drop(undefined, undefined, letter, settlement)
  else settlement.detail = obstacleOf(undefined, letter) as string
}

function answer(
  { effects, receivedAtMs }: Pick<BatchScope, 'effects' | 'receivedAtMs'>,
  letter: DeadLetter,
  request: string,
): Settlement {
  const settlement: Settlement = {
    agent: letter.agent,
    id: letter.id,
    requeued: letter.requeued ?? 0,
    request,
    outcome: 'unchanged',
    stored: 0,
    refused: 0,
    reason: '',
    detail: '',
    settledAtMs: receivedAtMs,
  }
  effects.settlements.push(settlement)
  return settlement
}

/** @returns why its readings cannot be moved in the account */
function obstacleOf(epoch: EpochState | undefined, letter: DeadLetter): string | undefined {
  if (epoch === undefined)
    return `the processor does not keep the account of epoch ${letter.epoch} of ${letter.agent} one by one (any more)`
  if (wasForgotten(epoch.settled, letter))
    return 'so many letters of its epoch were requeued or dropped that nobody knows whether it was, too'
  if (!wasReceived(epoch.sequences, letter.sequence))
    return `the processor has not received batch ${letter.sequence} (its state was lost, and the batch comes again)`
  if (epoch.deadLettered < letter.readingCount)
    return `the account knows of ${epoch.deadLettered} dead-lettered readings of the epoch, the letter holds ${letter.readingCount}`
  return undefined
}

/** @param epoch undefined: it leaves the queue, and its count stays where it is */
function drop(
  agent: AgentState | undefined,
  epoch: EpochState | undefined,
  letter: DeadLetter,
  settlement: Settlement,
): void {
  settlement.outcome = 'dropped'
  settlement.refused = letter.readingCount
  if (agent === undefined || epoch === undefined) return
  noteSettled(epoch.settled, letter)
  uncountLetter(agent, letter)
  countLetter(agent, letter.stage, DROPPED, letter.readingCount)
}

function requeue(
  s: BatchScope,
  epoch: EpochState,
  letter: DeadLetter,
  settlement: Settlement,
  newSeries: Parameters<typeof stepRequeue>[2],
): void {
  const { state, agent, effects } = s
  const contractOf = (kind: string) => s.context.contracts.get(kind) as Contract
  const seriesAt = (site: string, { device, kind }: DeviceBlock) =>
    findSeries(state, site, device, kind) ?? newSeries(device, contractOf(kind), site)
  const verdict = judgeLetter(letter, s.context.contracts, s.receivedAtMs, (block, column) => {
    for (const placed of placeBlock(s, block, pickSamples)) {
      const extra = extraOf(seriesAt(placed.site, block), column.field, column.type)
      if (extra === undefined) return sayTooMany(column.field)
      if (extra.type !== (column.type === 'number' ? 'float' : column.type))
        return sayOtherType(column.field, extra.type)
    }
    return undefined
  })
  if (typeof verdict === 'string') {
    settlement.detail = verdict
    return
  }
  const { stored, refused, reason, detail, contract } = verdict
  noteSettled(epoch.settled, letter)
  uncountLetter(agent, letter)
  epoch.deadLettered -= letter.readingCount
  countDeadLettered(epoch.sequences, letter.sequence, -letter.readingCount)
  Object.assign(settlement, { outcome: stored > 0 ? 'stored' : 'refused', stored, refused, reason, detail })
  if (refused > 0) addLetter(state, agent, epoch, remainderOf(letter, verdict, s.receivedAtMs), effects)
  if (contract === undefined || stored === 0) return
  const again = {
    index: indexOf(letter),
    requeued: (letter.requeued ?? 0) + 1,
    isLine: letter.stage === 'store',
    settlement,
  }
  s.epoch = epoch
  s.originIndex = effects.origins.push({ ...s.origin, again }) - 1
  epoch.newestMs = Math.max(epoch.newestMs, ...acceptedTimes(verdict))
  const judged: JudgedBlock = { ...verdict.block, refusals: verdict.refusals, flags: flagsOf(s, verdict) }
  for (const { block, site } of placeBlock(s, judged, pickJudged)) {
    writeAgain(s, seriesAt(site, block), block, again.isLine)
  }
  writeTouched(s)
}

type JudgedBlock = DeviceBlock & Pick<LetterVerdict, 'refusals'> & Pick<Judged, 'flags'>

function flagsOf(s: BatchScope, verdict: LetterVerdict): Judged['flags'] {
  if (verdict.flags !== undefined) return [verdict.flags]
  const flags = new Flags(s, verdict.block.timesMs.length)
  for (const { field, reason, samples } of verdict.marks)
    flags.mark(
      field,
      reason,
      samples.filter((i) => !isRefused(verdict, i)),
    )
  return flags.texts
}

const pickJudged = (block: JudgedBlock, samples: readonly number[]): JudgedBlock => ({
  ...pickSamples(block, samples),
  flags: block.flags && samples.map((i) => block.flags?.[i]),
  refusals: block.refusals.map((refused) => refused && Uint8Array.from(samples, (i) => refused[i] as number)),
})

function writeAgain(s: BatchScope, series: DeviceSeries, block: JudgedBlock, isLine: boolean): void {
  const { state } = s
  const { newestMs } = series
  writeSamples(s, series, block, block.refusals, block.flags)
  series.newestMs = newestMs
  if (series.windows === undefined) return
  // What InfluxDB refused stands in its windows since it came: the ones that are not in memory are recomputed.
  if (isLine) {
    for (const { widthMs, rows } of series.windows) {
      const startMs = windowStart(block.timesMs[0] as number, widthMs)
      if (!rows.has(startMs)) addDirty(state, series, widthMs, startMs)
    }
    return
  }
  foldBlock(s, series, block, block.refusals)
  // Its agent may never be heard of again: who else would close a row that this opened?
  closeWindows(s, series, state.agents.get(series.agent)?.watermarkMs ?? Number.NEGATIVE_INFINITY)
}

const isRefused = ({ block, refusals }: LetterVerdict, i: number): boolean =>
  block.columns.some(({ present }, c) => present?.[i] !== 0 && refusals[c]?.[i] === 1)

const acceptedTimes = (verdict: LetterVerdict): number[] =>
  [...verdict.block.timesMs].filter((_, i) => !isRefused(verdict, i))

/** The readings that stay refused, under the same id. */
function remainderOf(letter: DeadLetter, verdict: LetterVerdict, refusedAtMs: number): DeadLetter {
  const { block, original, refused, reason, detail } = verdict
  const rest = { ...letter, reason, detail, readingCount: refused, refusedAtMs, requeued: (letter.requeued ?? 0) + 1 }
  if (original === undefined || refused === letter.readingCount) return rest
  const kept = <T>(list: readonly T[]): T[] => list.filter((_, i) => isRefused(verdict, i))
  const left: LetterOriginal = {
    times: kept(original.times),
    values: kept(original.values),
    ...(original.sequences && { sequences: kept(original.sequences) }),
    ...(original.before && { before: kept(original.before) }),
  }
  const bytes = Buffer.from(JSON.stringify(left), 'utf8')
  const timeMs = left.times[0] ?? block.timesMs[0] ?? letter.timeMs
  return { ...rest, timeMs, original: bytes.toString('base64'), originalBytes: bytes.length }
}

/** Takes the letter out of where it was counted: under its reason, with others, or in what a lost state left. */
function uncountLetter({ letters }: AgentState, { stage, reason, readingCount }: DeadLetter): void {
  const places = [`${stage}/${reason}`, `${stage}/other`, 'unknown/before_state_loss']
  const count = places.map((key) => letters.get(key)).find((one) => one !== undefined && one.readings >= readingCount)
  if (count === undefined) return
  count.letters = Math.max(0, count.letters - 1)
  count.readings -= readingCount
}
