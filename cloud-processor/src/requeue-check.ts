/**
 * What contracts say of a dead letter's readings now. Pure: `step` asks when the letter is requeued, `tributary dlq requeue --dry-run`
 * before. The largest step is judged by what a reading was compared with when it was refused for its step, and not at all for others:
 * the readings beside them are not in the letter.
 */
import { type Contract, type Contracts, checkBlock, type DeadLetter, type DeviceBlock } from '@tributary/protocol'
import { type LetterOriginal, readingsOfLetter } from './letter-readings.ts'
import { AHEAD_MS_MAX } from './refuse.ts'

export interface LetterVerdict {
  readonly block: DeviceBlock
  readonly original: LetterOriginal | undefined
  /** undefined: every reading is refused. */
  readonly contract: Contract | undefined
  /** For each column of the block which samples stay refused; null: none. A line that InfluxDB refused stays as a whole. */
  readonly refusals: readonly (Uint8Array | null)[]
  readonly stored: number
  readonly refused: number
  /** Why readings stay refused, that of the most first; else ''. */
  readonly reason: string
  readonly detail: string
}

/** @returns a sentence when the letter cannot be requeued at all */
export function judgeLetter(letter: DeadLetter, contracts: Contracts, nowMs: number): LetterVerdict | string {
  const readings = readingsOfLetter(letter)
  if (typeof readings === 'string') return readings
  const { block, original } = readings
  const contract = contracts.get(block.kind)
  const found = contract
    ? [...aheadOf(block, nowMs), ...violationsOf(contract, block), ...stepsOf(contract, letter, block, original)]
    : [
        {
          field: undefined,
          samples: all(block),
          reason: 'unknown_kind',
          detail: `there is no contract for the kind "${block.kind}"`,
        },
      ]
  const refusals = block.columns.map((): Uint8Array | null => null)
  const reasons = new Map<string, { count: number; detail: string }>()
  for (const { field, reason, detail, samples } of found)
    for (const [c, column] of block.columns.entries())
      for (const i of samples) {
        if ((field !== undefined && column.field !== field) || column.present?.[i] === 0) continue
        const mask = refusals[c] ?? new Uint8Array(block.timesMs.length)
        refusals[c] = mask
        if (mask[i] === 1) continue
        mask[i] = 1
        reasons.set(reason, { count: (reasons.get(reason)?.count ?? 0) + 1, detail })
      }
  const byCount = [...reasons].sort(([, a], [, b]) => b.count - a.count)
  const isWhole = letter.stage === 'store' && byCount.length > 0
  const refused = isWhole ? letter.readingCount : byCount.reduce((sum, [, { count }]) => sum + count, 0)
  return {
    block,
    original,
    contract,
    refusals: isWhole ? block.columns.map(() => Uint8Array.of(1)) : refusals,
    stored: letter.readingCount - refused,
    refused,
    reason: byCount[0]?.[0] ?? '',
    detail: byCount.map(([, { detail }]) => detail).join('; '),
  }
}

const all = ({ timesMs }: DeviceBlock): number[] => Array.from(timesMs, (_, i) => i)

interface Refusal {
  /** undefined: all. */
  readonly field: string | undefined
  readonly reason: string
  readonly detail: string
  readonly samples: readonly number[]
}

function aheadOf(block: DeviceBlock, nowMs: number): Refusal[] {
  const samples = all(block).filter((i) => (block.timesMs[i] as number) > nowMs + AHEAD_MS_MAX)
  if (samples.length === 0) return []
  const first = new Date(block.timesMs[samples[0] as number] as number).toISOString()
  return [
    { field: undefined, reason: 'time_in_future', detail: `measured at ${first}, which has not been yet`, samples },
  ]
}

function violationsOf(contract: Contract, block: DeviceBlock): Refusal[] {
  const fields = Object.fromEntries(
    Object.entries(contract.fields).map(([name, field]) => [
      name,
      'largest_step' in field ? { ...field, largest_step: undefined } : field,
    ]),
  )
  const withoutSteps = { ...contract, fields } as Contract
  return checkBlock(withoutSteps, block, () => undefined).filter(({ reason }) => reason !== 'missing_field')
}

function stepsOf(
  contract: Contract,
  letter: DeadLetter,
  block: DeviceBlock,
  original: LetterOriginal | undefined,
): Refusal[] {
  const field = contract.fields[letter.field]
  const step = field && 'largest_step' in field ? field.largest_step : undefined
  if (letter.reason !== 'step_too_large' || step === undefined) return []
  const samples = all(block).filter((i) => {
    const value = original?.values[i]
    const before = original?.before?.[i]
    return typeof value !== 'number' || typeof before !== 'number' || Math.abs(value - before) > step
  })
  if (samples.length === 0) return []
  const [i] = samples as [number]
  const before = original?.before?.[i]
  const detail =
    typeof before === 'number'
      ? `${letter.field}: ${original?.values[i]} is more than ${step} from ${before}, the sample before`
      : `${letter.field}: the letter does not say what the sample before was; the contract has a largest_step of ${step}`
  return [{ field: letter.field, reason: 'step_too_large', detail, samples }]
}
