/**
 * Guarantee: the same state and the same batches give the same state and the same effects, byte for byte. No clock, no chance:
 * time comes with the message (when the stream received it) and with the samples.
 * The state is changed in place: copying it for each batch would cost more than all the rest.
 */
import {
  type Batch,
  type Contracts,
  checkBlock,
  type DeadLetter,
  type DeviceBlock,
  type FieldColumn,
  type Violation,
} from '@tributary/protocol'
import type { AlertEngine, AlertTransition, VerdictChange } from './alerts/index.ts'
import { contractLetters, decodeLetter, EPOCH_UNKNOWN, edgeLetter, type LetterOrigin, originOf } from './dead-letter.ts'
import { receiveBatch, receiveTombstone } from './deduplicate.ts'
import { enrichTransition, type FindDevice, siteOf } from './enrich.ts'
import type { Intake, TakenRefusal } from './intake.ts'
import { fieldKey, LineBuffer, linePrefix } from './line-protocol.ts'
import { enqueue, type OutboxLimits } from './notifiers/index.ts'
import { createSeries, type DeviceSeries, type FieldSeries, REVISION_KEY } from './series.ts'
import {
  type AgentState,
  addDirty,
  addSeries,
  agentOf,
  type EpochState,
  epochOf,
  findSeries,
  type PartitionState,
  type RecordedAnomaly,
  SERIES_MAX,
} from './state.ts'
import { watermarkOf } from './watermark.ts'
import {
  createFold,
  foldRun,
  forgetBefore,
  forgetOldest,
  mergeFold,
  mergeString,
  PROVISIONAL_MS,
  rowAt,
  rowsMax,
  WIDTHS_MS,
  type WindowRow,
  type Windows,
  windowStart,
  writeRow,
} from './window.ts'

export interface StepContext {
  readonly contracts: Contracts
  readonly findDevice: FindDevice
  readonly engine: AlertEngine
  /** Names of all notifiers. */
  readonly receivers: readonly string[]
  readonly outboxLimits: OutboxLimits
  /** How long closed windows stay in memory. */
  readonly memoryMs: number
}

/** What several steps ask the shell to do. The shell empties it when that is done. */
export interface Effects {
  /** For the default retention policy. Origins index `origins`. */
  readonly lines: LineBuffer
  /** For the rollup retention policy. */
  readonly rollups: LineBuffer
  readonly origins: LetterOrigin[]
  readonly deadLetters: DeadLetter[]
  readonly anomalies: RecordedAnomaly[]
  readonly transitions: AlertTransition[]
  /** Event times of a sample of each live block: what latency is measured with. */
  readonly sampleTimesMs: number[]
}

export const createEffects = (): Effects => ({
  lines: new LineBuffer(),
  rollups: new LineBuffer(),
  origins: [],
  deadLetters: [],
  anomalies: [],
  transitions: [],
  sampleTimesMs: [],
})

export function clearEffects(effects: Effects): void {
  effects.lines.clear()
  effects.rollups.clear()
  for (const list of [
    effects.origins,
    effects.deadLetters,
    effects.anomalies,
    effects.transitions,
    effects.sampleTimesMs,
  ])
    list.length = 0
}

const SMALLEST_WIDTH_MS = WIDTHS_MS[0]
const ANOMALIES_KEPT = 100
const NO_REFUSALS: (Uint8Array | null)[] = []

/** One message: changes the state and adds to the effects. */
export function step(state: PartitionState, intake: Intake, context: StepContext, effects: Effects): void {
  state.streamSequence = Math.max(state.streamSequence, intake.streamSequence)
  const agent = agentOf(state, intake.site, intake.agent)
  agent.batches += 1
  state.counters.batches += 1
  if (intake.batch === undefined) refuseBatch(state, agent, intake, effects)
  else stepBatch(new Step(state, agent, intake.batch, intake.site, intake.receivedAtMs, context, effects))
}

function refuseBatch(state: PartitionState, agent: AgentState, refused: TakenRefusal, effects: Effects): void {
  const { header, site, receivedAtMs, streamSequence } = refused
  const epoch = header && epochOf(agent, header.epoch)
  if (header && epoch) {
    if (!receiveBatch(epoch.sequences, header, receivedAtMs)) {
      state.counters.duplicates += 1
      return
    }
    epoch.received += header.readingCount
    epoch.lastReceivedAtMs = receivedAtMs
  }
  const unknown = { agent: agent.agent, epoch: EPOCH_UNKNOWN, sequence: streamSequence }
  const letter = decodeLetter(
    originOf(header ?? unknown, site, receivedAtMs),
    refused.reason,
    refused.detail,
    refused.bytes,
    header?.readingCount ?? 0,
  )
  addLetter(state, agent, epoch, letter, effects)
}

/** Counts the letter where its readings are accounted for, and has it published. */
export function addLetter(
  state: PartitionState,
  agent: AgentState,
  epoch: EpochState | undefined,
  letter: DeadLetter,
  effects: Pick<Effects, 'deadLetters'>,
): void {
  const key = `${letter.stage}/${letter.reason}`
  const count = agent.letters.get(key) ?? { letters: 0, readings: 0 }
  count.letters += 1
  count.readings += letter.readingCount
  agent.letters.set(key, count)
  state.counters.deadLetters += 1
  state.counters.deadLetterReadings += letter.readingCount
  if (epoch) epoch.deadLettered += letter.readingCount
  effects.deadLetters.push(letter)
}

/** What the functions below share while one batch is worked on. */
class Step {
  readonly state: PartitionState
  readonly agent: AgentState
  readonly batch: Batch
  readonly site: string
  readonly receivedAtMs: number
  readonly context: StepContext
  readonly effects: Effects
  readonly origin: LetterOrigin
  readonly live: boolean
  epoch: EpochState | undefined
  originIndex = -1
  contractLetterCount = 0
  readonly touched: { series: DeviceSeries; width: number; row: WindowRow }[] = []

  constructor(
    state: PartitionState,
    agent: AgentState,
    batch: Batch,
    site: string,
    receivedAtMs: number,
    context: StepContext,
    effects: Effects,
  ) {
    this.state = state
    this.agent = agent
    this.batch = batch
    this.site = site
    this.receivedAtMs = receivedAtMs
    this.context = context
    this.effects = effects
    this.origin = originOf(batch.header, site, receivedAtMs)
    this.live = batch.header.lane === 'live'
  }
}

function stepBatch(s: Step): void {
  const { agent, batch, state, effects } = s
  const { header } = batch
  s.epoch = epochOf(agent, header.epoch)
  if (s.epoch) {
    if (!receiveBatch(s.epoch.sequences, header, s.receivedAtMs)) {
      state.counters.duplicates += 1
      return
    }
    s.epoch.received += header.readingCount
    s.epoch.lastReceivedAtMs = s.receivedAtMs
  }
  agent.backlogBatches = header.backlogBatches
  for (const tombstone of batch.tombstones) {
    const epoch = epochOf(agent, tombstone.epoch)
    if (epoch) receiveTombstone(epoch.sequences, tombstone, s.receivedAtMs)
  }
  s.originIndex = effects.origins.push(s.origin) - 1
  for (const [i, letter] of batch.deadLetters.entries())
    addLetter(state, agent, s.epoch, edgeLetter(s.origin, i, letter), effects)
  for (const block of batch.blocks) stepBlock(s, block)
  advance(s)
  writeTouched(s)
}

function stepBlock(s: Step, block: DeviceBlock): void {
  const { state, context, agent } = s
  const contract = context.contracts.get(block.kind)
  if (contract === undefined) {
    const detail = `there is no contract for the kind "${block.kind}"; add contracts/${block.kind}.yaml, or correct the kind in the agent's config`
    for (const column of block.columns) {
      const samples = presentSamples(column, block.timesMs.length)
      refuse(s, block, { field: column.field, reason: 'unknown_kind', detail, samples }, [column], undefined)
    }
    return
  }
  const agentKey = `${agent.site}/${agent.agent}`
  const site = siteOf(context.findDevice, block.device, s.site)
  let series = findSeries(state, site, block.device, block.kind)
  if (series === undefined) {
    const withWindows = state.seriesCount < SERIES_MAX
    series = createSeries(site, block.device, contract, agentKey, { withWindows })
    if (withWindows) addSeries(state, series)
  } else if (series.agent !== agentKey) {
    series.agent = agentKey
    agent.series.push(series)
  }
  const known = series
  const violations = checkBlock(contract, block, (field) => {
    const last = known.fieldNamed.get(field)?.lastValue
    return last === undefined || Number.isNaN(last) ? undefined : last
  })
  const refusals = violations.length === 0 ? NO_REFUSALS : refuseViolations(s, series, block, violations)
  writeSamples(s, series, block, refusals)
  if (series.windows) foldBlock(s, series, block, refusals)
  watchBlock(s, series, block, refusals)
}

function presentSamples({ present }: FieldColumn, count: number): number[] {
  const samples: number[] = []
  for (let i = 0; i < count; i++) if (present === null || present[i] === 1) samples.push(i)
  return samples
}

function refuse(
  s: Step,
  block: DeviceBlock,
  refusal: { field: string; reason: string; detail: string; samples: readonly number[] },
  columns: readonly FieldColumn[],
  sequenceColumn: FieldColumn | undefined,
): void {
  for (const letter of contractLetters(
    s.origin,
    block,
    refusal,
    columns,
    sequenceColumn,
    () => s.contractLetterCount++,
  ))
    addLetter(s.state, s.agent, s.epoch, letter, s.effects)
}

/** @returns for each column which samples are refused; null: none */
function refuseViolations(
  s: Step,
  series: DeviceSeries,
  block: DeviceBlock,
  violations: readonly Violation[],
): (Uint8Array | null)[] {
  const refusals: (Uint8Array | null)[] = block.columns.map(() => null)
  const sequenceField = Object.entries(series.contract.fields).find(
    ([, f]) => 'role' in f && f.role === 'sequence',
  )?.[0]
  const sequenceColumn = block.columns.find(
    (column) => column.field === sequenceField && column.type === 'number' && column.present === null,
  )
  for (const violation of violations) {
    if (violation.reason === 'missing_field') continue
    const columns = block.columns.filter(({ field }) => field === violation.field)
    const fresh: number[] = []
    for (const sample of violation.samples) {
      const c = block.columns.findIndex(
        ({ field, present }) => field === violation.field && (present === null || present[sample] === 1),
      )
      if (c < 0) continue
      const mask = refusals[c] ?? new Uint8Array(block.timesMs.length)
      refusals[c] = mask
      // A reading is refused once, for the first reason: else it would be counted twice.
      if (mask[sample] === 1) continue
      mask[sample] = 1
      fresh.push(sample)
    }
    if (fresh.length > 0) refuse(s, block, { ...violation, samples: fresh }, columns, sequenceColumn)
  }
  return refusals
}

/** One line a sample, with all its accepted fields. */
function writeSamples(
  s: Step,
  series: DeviceSeries,
  block: DeviceBlock,
  refusals: readonly (Uint8Array | null)[],
): void {
  const { lines } = s.effects
  const { columns, timesMs } = block
  const fields = columns.map(({ field }) => series.fieldNamed.get(field))
  let stored = 0
  let newest = series.newestMs
  for (let i = 0; i < timesMs.length; i++) {
    let readings = 0
    lines.begin(series.prefix)
    for (let c = 0; c < columns.length; c++) {
      const column = columns[c] as FieldColumn
      const field = fields[c]
      if (field === undefined || (column.present !== null && column.present[i] === 0)) continue
      if (refusals.length > 0 && refusals[c]?.[i] === 1) continue
      readings += 1
      if (column.type === 'number') {
        const value = column.values[i] as number
        if (field.type === 'integer') lines.integer(field.key, value)
        else lines.float(field.key, value, field.scale)
      } else if (column.type === 'boolean') lines.boolean(field.key, column.values[i] === 1)
      else lines.string(field.key, column.values[i] as string)
    }
    const timeMs = timesMs[i] as number
    lines.end(series.prefix, timeMs, readings, s.originIndex)
    stored += readings
    if (readings > 0 && timeMs > newest) newest = timeMs
  }
  series.newestMs = newest
  s.state.counters.readings += stored
  if (s.epoch) s.epoch.stored += stored
  if (s.live && timesMs.length > 0) s.effects.sampleTimesMs.push(timesMs[timesMs.length >> 1] as number)
}

const fold = createFold()

/** Runs of samples of one smallest window are folded once and merged into the rows of all widths. */
function foldBlock(s: Step, series: DeviceSeries, block: DeviceBlock, refusals: readonly (Uint8Array | null)[]): void {
  const { timesMs, columns } = block
  const fieldCount = series.fields.length
  const allWindows = series.windows as readonly Windows[]
  const fields = columns.map(({ field }) => series.fieldNamed.get(field))
  const rows: (WindowRow | undefined)[] = []
  for (let from = 0; from < timesMs.length; ) {
    const startMs = windowStart(timesMs[from] as number, SMALLEST_WIDTH_MS)
    const endMs = startMs + SMALLEST_WIDTH_MS
    let to = from + 1
    while (to < timesMs.length && (timesMs[to] as number) >= startMs && (timesMs[to] as number) < endMs) to += 1
    let accepted = 0
    for (let w = 0; w < allWindows.length; w++) rows[w] = undefined
    for (let c = 0; c < columns.length; c++) {
      const column = columns[c] as FieldColumn
      const field = fields[c]
      const refused = refusals[c] ?? null
      if (field === undefined) continue
      if (column.type === 'string') {
        for (let i = from; i < to; i++) {
          if ((column.present !== null && column.present[i] === 0) || refused?.[i] === 1) continue
          if (accepted === 0) openRows(s, series, allWindows, rows, startMs, fieldCount)
          accepted += 1
          for (const row of rows)
            if (row) mergeString(row, field.slot, fieldCount, timesMs[i] as number, column.values[i] as string)
        }
        continue
      }
      const count = foldRun(fold, column.values, column.present, refused, timesMs, from, to)
      if (count === 0) continue
      if (accepted === 0) openRows(s, series, allWindows, rows, startMs, fieldCount)
      accepted += count
      for (let w = 0; w < rows.length; w++) {
        const row = rows[w]
        if (row) mergeFold(row, field.slot, fold)
      }
    }
    if (accepted > 0) countLate(s, series, allWindows, rows, startMs, accepted)
    from = to
  }
  for (const windows of allWindows) {
    const dropped = forgetOldest(windows, rowsMax(windows.widthMs, s.context.memoryMs))
    if (dropped) {
      addDirty(s.state, series, windows.widthMs, dropped.startMs)
      if (dropped.changed) write(s, series, allWindows.indexOf(windows), dropped)
    }
  }
}

function openRows(
  s: Step,
  series: DeviceSeries,
  allWindows: readonly Windows[],
  rows: (WindowRow | undefined)[],
  startMs: number,
  fieldCount: number,
): void {
  for (let w = 0; w < allWindows.length; w++) {
    const windows = allWindows[w] as Windows
    const row = rowAt(windows, windowStart(startMs, windows.widthMs), fieldCount)
    rows[w] = row
    if (row?.closed && !row.listed) {
      row.listed = true
      s.touched.push({ series, width: w, row })
    }
  }
}

function countLate(
  s: Step,
  series: DeviceSeries,
  allWindows: readonly Windows[],
  rows: readonly (WindowRow | undefined)[],
  startMs: number,
  readings: number,
): void {
  if (rows[0] === undefined) s.state.counters.lateBeyondMemory += readings
  else if (rows[0].closed) s.state.counters.late += readings
  for (let w = 0; w < rows.length; w++)
    if (rows[w] === undefined) {
      const { widthMs } = allWindows[w] as Windows
      addDirty(s.state, series, widthMs, windowStart(startMs, widthMs))
    }
}

/** Hands new readings to the detectors, in event-time order; what is older than the newest one seen is history. */
function watchBlock(s: Step, series: DeviceSeries, block: DeviceBlock, refusals: readonly (Uint8Array | null)[]): void {
  const { timesMs } = block
  for (let c = 0; c < block.columns.length; c++) {
    const column = block.columns[c] as FieldColumn
    const field = series.fieldNamed.get(column.field)
    if (field === undefined || column.type === 'string') continue
    const refused = refusals[c] ?? null
    if (field.watches.length === 0) {
      rememberLast(field, column, refused, timesMs.length)
      continue
    }
    for (let i = 0; i < timesMs.length; i++) {
      if ((column.present !== null && column.present[i] === 0) || refused?.[i] === 1) continue
      const timeMs = timesMs[i] as number
      if (timeMs <= field.watchedThroughMs) {
        s.state.counters.historical += 1
        continue
      }
      const value = column.values[i] as number
      field.watchedThroughMs = timeMs
      field.lastValue = value
      for (const { detector, state } of field.watches) {
        const verdict = detector.observe(state, timeMs, value)
        if (verdict)
          judge(s, {
            agent: s.agent.agent,
            site: series.site,
            device: series.device,
            kind: series.contract.kind,
            field: field.name,
            detector,
            verdict,
            value,
            atMs: timeMs,
            live: s.live,
          })
      }
    }
    rememberLast(field, column, refused, timesMs.length)
  }
}

/**
 * The last value of the column is what the next one is compared with by `largest_step`, also when it was refused for its step:
 * else one step to a new level would refuse all that follows.
 */
function rememberLast(field: FieldSeries, column: FieldColumn, refused: Uint8Array | null, count: number): void {
  if (column.type !== 'number') return
  for (let i = count - 1; i >= 0; i--) {
    if (column.present !== null && column.present[i] === 0) continue
    const value = column.values[i] as number
    if (!Number.isFinite(value)) continue
    if (refused?.[i] === 1 && !inRange(field, value)) continue
    field.lastValue = value
    return
  }
}

const inRange = (field: FieldSeries, value: number): boolean => value >= field.low && value <= field.high

/** The agent's event time moves on: windows close, devices may be silent, alerts may be due. */
function advance(s: Step): void {
  const { agent, state, context, live } = s
  const before = agent.watermarkMs
  const watermarkMs = watermarkOf(agent)
  agent.watermarkMs = watermarkMs
  const moved = watermarkMs > before
  if (moved) {
    const agentKey = `${agent.site}/${agent.agent}`
    if (agent.series.some((series) => series.agent !== agentKey))
      agent.series = agent.series.filter((series) => series.agent === agentKey)
    const closing = windowStart(watermarkMs, SMALLEST_WIDTH_MS) > windowStart(before, SMALLEST_WIDTH_MS)
    for (const series of agent.series) {
      if (closing) closeWindows(s, series, watermarkMs)
      judgeSilence(s, series, watermarkMs)
    }
    tell(
      s,
      context.engine.advance(state.alerts, {
        agent: agent.agent,
        completeThroughMs: watermarkMs,
        live,
      }),
    )
  }
}

function closeWindows(s: Step, series: DeviceSeries, watermarkMs: number): void {
  for (const [w, windows] of (series.windows ?? []).entries()) {
    let kept = 0
    for (const row of windows.open) {
      if (row.startMs + windows.widthMs > watermarkMs) windows.open[kept++] = row
      else {
        row.closed = true
        if (row.changed) write(s, series, w, row)
      }
    }
    windows.open.length = kept
    forgetBefore(windows, watermarkMs - s.context.memoryMs)
  }
}

function judgeSilence(s: Step, series: DeviceSeries, completeThroughMs: number): void {
  if (series.silence === undefined || series.silenceState === undefined) return
  const verdict = series.silence.judge(series.silenceState, { lastSampleMs: series.newestMs, completeThroughMs })
  if (verdict)
    judge(s, {
      agent: s.agent.agent,
      site: series.site,
      device: series.device,
      kind: series.contract.kind,
      field: '',
      detector: series.silence,
      verdict,
      value: verdict.value,
      atMs: verdict.timeMs,
      live: s.live,
    })
}

const ANOMALY_KEYS = {
  kind: fieldKey('kind'),
  value: fieldKey('value'),
  score: fieldKey('score'),
  expected: fieldKey('expected'),
  lower: fieldKey('lower'),
  upper: fieldKey('upper'),
  message: fieldKey('message'),
}

function judge(s: Step, change: VerdictChange): void {
  const { verdict, site, device, kind, field, detector, atMs, value } = change
  if (verdict.anomalous) {
    const { lines, anomalies } = s.effects
    const prefix = linePrefix('anomaly', { site, device, field, detector: detector.name })
    lines.begin(prefix)
    lines.string(ANOMALY_KEYS.kind, kind)
    for (const [key, number] of [
      [ANOMALY_KEYS.value, value],
      [ANOMALY_KEYS.score, verdict.score],
      [ANOMALY_KEYS.expected, verdict.expected],
      [ANOMALY_KEYS.lower, verdict.lower],
      [ANOMALY_KEYS.upper, verdict.upper],
    ] as const)
      if (number !== undefined && Number.isFinite(number)) lines.float(key, number, 1000)
    lines.string(ANOMALY_KEYS.message, verdict.message)
    lines.end(prefix, atMs, 0, -1)
    const recorded = {
      site,
      device,
      kind,
      field,
      detector: detector.name,
      timeMs: atMs,
      value,
      score: verdict.score,
      message: verdict.message,
    }
    anomalies.push(recorded)
    s.state.anomalies.push(recorded)
    if (s.state.anomalies.length > ANOMALIES_KEPT) s.state.anomalies.shift()
    s.state.counters.anomalies += 1
  }
  tell(s, s.context.engine.judge(s.state.alerts, change))
}

const ALERT_KEYS = {
  episode: fieldKey('episode'),
  state: fieldKey('state'),
  severity: fieldKey('severity'),
  kind: fieldKey('kind'),
  value: fieldKey('value'),
  message: fieldKey('message'),
}

/** Transitions: into the store, to whoever listens on NATS, and into the outbox. */
function tell(s: Step, transitions: readonly AlertTransition[]): void {
  if (transitions.length === 0) return
  const enriched = transitions.map((transition) => enrichTransition(s.context.findDevice, transition))
  const { lines } = s.effects
  for (const transition of enriched) {
    const { site, device, rule } = transition
    const prefix = linePrefix('alert', { site, device, rule })
    lines.begin(prefix)
    lines.string(ALERT_KEYS.episode, transition.episode)
    lines.string(ALERT_KEYS.state, transition.state)
    lines.string(ALERT_KEYS.severity, transition.severity)
    lines.string(ALERT_KEYS.kind, transition.kind)
    if (Number.isFinite(transition.value)) lines.float(ALERT_KEYS.value, transition.value, 1000)
    lines.string(ALERT_KEYS.message, transition.message)
    lines.end(prefix, transition.atMs, 0, -1)
  }
  s.effects.transitions.push(...enriched)
  enqueue(s.state.outbox, enriched, s.context.receivers, s.context.outboxLimits)
}

/** Closed rows that late readings changed, and rows that a gap has held open for long. */
function writeTouched(s: Step): void {
  for (const { series, width, row } of s.touched) {
    row.listed = false
    if (row.changed) write(s, series, width, row)
  }
  if (!s.live) return
  for (const block of s.batch.blocks) {
    const site = siteOf(s.context.findDevice, block.device, s.site)
    const series = findSeries(s.state, site, block.device, block.kind)
    for (const [w, windows] of (series?.windows ?? []).entries()) {
      if (windows.open.length < 2) continue
      for (const row of windows.open)
        if (row.changed && row.startMs + windows.widthMs + PROVISIONAL_MS <= (series as DeviceSeries).newestMs)
          write(s, series as DeviceSeries, w, row)
    }
  }
}

function write(s: Step, series: DeviceSeries, width: number, row: WindowRow): void {
  s.state.counters.windowsWritten += 1
  if (row.revision > 0) s.state.counters.windowsRevised += 1
  writeRow(s.effects.rollups, series.windowPrefixes[width] as Uint8Array, series.windowKeys, REVISION_KEY, row)
}
