/** The windows of a case: its samples as batches through `step`; what is written of a window last is what counts. */
import type { Contract } from '@tributary/protocol'
import { batchOf, blockOf, clearEffects, contextOf, createEffects, intakeOf, stateFor, step } from '../testing.ts'
import type { Case } from './case-schema.ts'
import { type Sample, START_MS, samplesOf, within } from './run-case.ts'

const MEMORY_MS = 600_000

/** @returns "1m 120s: energy_wh_increase=5 energy_wh_rate=0.1 … revision=1", by width and time */
export function windowsOfCase(given: Case, contract: Contract, csv: string | undefined): string[] {
  const { widths, fields: shownFields } = given.windows ?? { widths: [], fields: [] }
  if (widths.length === 0) return []
  const context = contextOf([contract], { memoryMs: MEMORY_MS, punctualMemoryMs: MEMORY_MS })
  const state = stateFor(context)
  const effects = createEffects()
  const windows = new Map<string, string>()
  const isWhole = (field: string) => contract.fields[field]?.type === 'integer'
  let sequence = 0
  let readingsBefore = 0
  const give = (samples: readonly Sample[], untilMs: number, lane: 'live' | 'backlog') => {
    const block = blockOf(
      given.device,
      given.kind,
      samples.map(({ atMs, values }) => ({
        timeMs: START_MS + atMs,
        values: Object.fromEntries(
          Object.entries(values).map(([field, value]) => [field, isWhole(field) ? Math.round(value) : value]),
        ),
      })),
    )
    clearEffects(effects)
    sequence += 1
    const blocks = samples.length > 0 ? [block] : []
    const batch = batchOf({ sequence, readingsBefore, completeThroughMs: START_MS + untilMs, lane, blocks })
    readingsBefore = batch.header.readingsTotal
    step(state, intakeOf(batch, { streamSequence: sequence }), context, effects)
    for (let i = 0; i < effects.rollups.count; i++) {
      const [head = '', fields = '', startMs] = effects.rollups.line(i).toString().trim().split(' ')
      const width = head.slice(given.kind.length + 1, head.indexOf(','))
      const shown = fields
        .split(',')
        .filter((one) => one.startsWith('revision=') || shownFields.some((field) => one.startsWith(`${field}=`)))
      if (widths.includes(width)) windows.set(`${width} ${(Number(startMs) - START_MS) / 1_000}s`, shown.join(' '))
    }
  }
  const samples = samplesOf(given, csv)
  let next = 0
  for (let untilMs = given.batch_every; untilMs <= given.for; untilMs += given.batch_every) {
    if (within(given.link_down, untilMs) || within(given.agent_off, untilMs)) continue
    const from = next
    while (next < samples.length && (samples[next] as Sample).atMs < untilMs) next += 1
    const isBehind = (samples[from]?.atMs ?? untilMs) < untilMs - given.batch_every
    give(samples.slice(from, next), untilMs, isBehind ? 'backlog' : 'live')
  }
  return [...windows].map(([key, said]) => `${key}: ${said}`)
}
