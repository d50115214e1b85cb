/** Runs a case through detectors and alert engine, batch by batch, as the processor does; states go through JSON after each batch. */
import type { Contract } from '@tributary/protocol'
import { type AlertTransition, createAlertEngine } from '../alerts/index.ts'
import { detectorsFor, restoreState, seriesContext, silenceFor, type Verdict } from '../detectors/index.ts'
import { normal, seededRandom } from '../detectors/simulated-series.ts'
import { savedTogether, togetherWatchesFor } from '../together-watches.ts'
import type { Case, GeneratedField, Span } from './case-schema.ts'
import { peersOfCase } from './peers-of-case.ts'

export const START_MS = Date.UTC(2026, 0, 5, 8)
const SITE = 'plant'
const AGENT = 'agent-1'

export interface Sample {
  /** Since the start of the case. */
  readonly atMs: number
  readonly values: Readonly<Record<string, number>>
}

/** What is compared: one line each. */
export interface Outcome {
  readonly verdicts: string[]
  readonly transitions: string[]
}

export const samplesOf = (given: Case, csv: string | undefined): Sample[] =>
  (given.generate ? generate(given, given.generate.every, given.generate.fields) : parseCsv(csv ?? '')).filter(
    ({ atMs }) => atMs < given.for && !within(given.device_silent, atMs) && !within(given.agent_off, atMs),
  )

export function runCase(given: Case, contract: Contract, csv: string | undefined): Outcome {
  const samples = samplesOf(given, csv)
  const engine = createAlertEngine(given.rules, new Map([[contract.kind, contract]]))
  const series = Object.keys(contract.fields).flatMap((field) =>
    detectorsFor(contract, field, seriesContext(contract, SITE, given.device, field)).map((detector) => ({
      field,
      detector,
      state: detector.start(),
    })),
  )
  const place = { site: SITE, device: given.device }
  let together = togetherWatchesFor(contract, place)
  const silence = silenceFor(contract, { device: given.device, kind: contract.kind })
  const { every = 0, peers = {} } = given.generate ?? {}
  const others = Object.entries(peers).map(([device, fields]) => [device, generate(given, every, fields)] as const)
  const judgePeers = peersOfCase(contract, SITE, new Map([[given.device, samples], ...others]), START_MS)
  let silenceState = silence?.start()
  let alerts = engine.start()
  let lastSampleMs: number | undefined
  const verdicts: string[] = []
  const transitions: AlertTransition[] = []
  let next = 0
  const source = { agent: AGENT, site: SITE, device: given.device, kind: contract.kind }
  const spoken = new Set<string>()
  const note = (atMs: number, field: string, name: string, verdict: Verdict) => {
    if (!verdict.anomalous && !spoken.has(`${field} ${name}`)) return
    spoken.add(`${field} ${name}`)
    verdicts.push(
      `${sayAt(atMs)} ${[field, name].filter((part) => part !== '').join(' ')}: ${verdict.anomalous ? verdict.message : 'ordinary'}`,
    )
  }

  const take = (untilMs: number, live: boolean) => {
    for (let sample = samples[next]; sample !== undefined && sample.atMs < untilMs; sample = samples[++next]) {
      const timeMs = START_MS + sample.atMs
      lastSampleMs = timeMs
      for (const one of series) {
        const value = sample.values[one.field]
        if (value === undefined) continue
        const verdict = one.detector.observe(one.state, timeMs, value)
        if (verdict === undefined) continue
        note(sample.atMs, one.field, one.detector.name, verdict)
        const { field, detector } = one
        transitions.push(...engine.judge(alerts, { ...source, field, detector, verdict, value, atMs: timeMs, live }))
      }
      for (const { fields, detector, state } of together) {
        const values = fields.map((field) => sample.values[field] ?? Number.NaN)
        const verdict = detector.observe(state, timeMs, values)
        if (verdict === undefined) continue
        note(sample.atMs, '', detector.name, verdict)
        const { value } = verdict
        transitions.push(
          ...engine.judge(alerts, { ...source, field: '', detector, verdict, value, atMs: timeMs, live }),
        )
      }
    }
    for (const { device, field, detector, verdict, atMs } of judgePeers(untilMs)) {
      note(atMs - START_MS, field, `${detector.name}${device === given.device ? '' : ` of ${device}`}`, verdict)
      const { value } = verdict
      transitions.push(...engine.judge(alerts, { ...source, device, field, detector, verdict, value, atMs, live }))
    }
    if (silence && silenceState && lastSampleMs !== undefined) {
      const verdict = silence.judge(silenceState, { lastSampleMs, completeThroughMs: START_MS + untilMs })
      if (verdict) {
        note(verdict.timeMs - START_MS, '', silence.name, verdict)
        const { value, timeMs: atMs } = verdict
        transitions.push(
          ...engine.judge(alerts, { ...source, field: '', detector: silence, verdict, value, atMs, live }),
        )
      }
    }
    transitions.push(...engine.advance(alerts, { agent: AGENT, completeThroughMs: START_MS + untilMs, live }))
    together = togetherWatchesFor(contract, place, JSON.parse(JSON.stringify(savedTogether(together))))
    for (const one of series) one.state = restoreState(one.detector, JSON.parse(JSON.stringify(one.state)))
    silenceState = silenceState && JSON.parse(JSON.stringify(silenceState))
    alerts = JSON.parse(JSON.stringify(alerts))
  }
  let behind = false
  for (let untilMs = given.batch_every; untilMs <= given.for; untilMs += given.batch_every) {
    if (within(given.agent_off, untilMs)) continue
    if (within(given.link_down, untilMs)) {
      behind = true
      continue
    }
    take(untilMs, !behind)
    behind = false
  }
  return {
    verdicts,
    transitions: transitions.map(
      (t) =>
        `${sayAt(t.atMs - START_MS)} ${t.severity} ${t.rule} ${t.state}${t.notify === 'all' || t.notify.length > 0 ? '' : ' (untold)'}: ${t.message}`,
    ),
  }
}

export const within = (spans: readonly Span[], atMs: number) =>
  spans.some((s) => atMs >= s.from && atMs < s.from + s.for)

/** "75.3s" */
const sayAt = (atMs: number) => `${Number((atMs / 1_000).toFixed(3))}s`

function generate(given: Case, every: number, fields: Readonly<Record<string, GeneratedField>>): Sample[] {
  const makers = Object.entries(fields).map(([field, of]) => ({ field, value: generator(of) }))
  return Array.from({ length: Math.ceil(given.for / every) }, (_, i) => ({
    atMs: i * every,
    values: Object.fromEntries(makers.map(({ field, value }) => [field, value(i * every)])),
  }))
}

function generator({ base, noise, wave, seed, step, add, hold }: GeneratedField): (atMs: number) => number {
  const random = seededRandom(seed)
  let held: number | undefined
  return (atMs) => {
    let value = base + noise * normal(random)
    if (wave) value += wave.amplitude * Math.sin((2 * Math.PI * atMs) / wave.period)
    for (const one of add) if (within([one], atMs)) value += one.by
    if (step !== undefined) value = Math.round(value / step) * step
    if (!within(hold, atMs)) held = undefined
    else held ??= value
    return held ?? value
  }
}

function parseCsv(text: string): Sample[] {
  const [header, ...lines] = text.trim().split(/\r?\n/)
  const [first, ...fields] = (header ?? '').split(',').map((cell) => cell.trim())
  if (first !== 'seconds') throw new Error('the first column of the CSV must be "seconds"')
  return lines.map((line, i) => {
    const [seconds, ...cells] = line.split(',').map((cell) => cell.trim())
    const filled = fields.flatMap((field, f): [string, number][] => (cells[f] ? [[field, Number(cells[f])]] : []))
    const sample = { atMs: Number(seconds) * 1_000, values: Object.fromEntries(filled) }
    if ([sample.atMs, ...Object.values(sample.values)].some(Number.isNaN))
      throw new Error(`line ${i + 2} of the CSV holds something that is no number: ${line}`)
    return sample
  })
}
