/**
 * What Grafana makes of a rule's answers, by the documented meaning of its expressions: a reduction turns each series into a number
 * with the same labels, a threshold and a comparison turn numbers into 0 or 1, arithmetic joins numbers whose labels match. For tests only.
 */
import type { RuleShape } from './grafana-file-shapes.ts'
import type { InfluxAnswer, Value } from './rendering/frames.ts'

type Labels = Readonly<Record<string, string>>
interface LabelledNumber {
  readonly labels: Labels
  readonly value: number
}
type Model<T extends string> = Extract<RuleShape['data'][number]['model'], { type: T }>

export interface Verdict {
  readonly state: 'firing' | 'normal'
  /** "agent-1 workshop" of each that fires. */
  readonly firing: readonly string[]
}

/** @param ask the answer to a query whose `$timeFilter` covers so many seconds */
export async function evaluate(
  rule: RuleShape,
  ask: (query: string, rangeSeconds: number) => Promise<InfluxAnswer>,
): Promise<Verdict> {
  const answers = new Map<string, InfluxAnswer>()
  const numbers = new Map<string, readonly LabelledNumber[]>()
  const numbersOf = (refId: string) => numbers.get(refId) ?? []
  for (const { refId, relativeTimeRange, model } of rule.data) {
    if ('query' in model) answers.set(refId, await ask(model.query, relativeTimeRange.from))
    else if (model.type === 'reduce') numbers.set(refId, reduced(answers.get(model.expression) ?? {}, model))
    else if (model.type === 'threshold')
      numbers.set(
        refId,
        numbersOf(model.expression).map((one) => ({ ...one, value: Number(isBeyond(one.value, model)) })),
      )
    else numbers.set(refId, computed(model.expression, numbersOf))
  }
  const result = numbersOf(rule.condition)
  const firing = result.filter(({ value }) => value !== 0).map(({ labels }) => Object.values(labels).join(' '))
  // No data at all: the rule says what that means.
  const isFiring = result.length === 0 ? rule.noDataState === 'Alerting' : firing.length > 0
  return { state: isFiring ? 'firing' : 'normal', firing: firing.sort() }
}

/** "Drop non-numeric": what is no number does not count; a series without any has no number. */
function reduced(answer: InfluxAnswer, { reducer }: Model<'reduce'>): LabelledNumber[] {
  return (answer.results?.[0]?.series ?? []).flatMap(({ tags = {}, values = [] }) => {
    const found = values.map((row: readonly Value[]) => row[1]).filter((v) => typeof v === 'number')
    const sum = found.reduce((a, b) => a + b, 0)
    if (found.length === 0 && reducer !== 'sum' && reducer !== 'count') return []
    const value = {
      min: () => Math.min(...found),
      max: () => Math.max(...found),
      mean: () => sum / found.length,
      last: () => found.at(-1) as number,
      count: () => found.length,
      sum: () => sum,
    }[reducer]()
    return [{ labels: tags, value }]
  })
}

function isBeyond(value: number, { conditions }: Model<'threshold'>): boolean {
  const { type, params } = conditions[0].evaluator
  const [low, high = low] = params
  return {
    gt: value > low,
    lt: value < low,
    within_range: value > low && value < high,
    outside_range: value < low || value > high,
  }[type]
}

/** Of `$C && $E > 0`: the left one for each whose right one is above the limit; a variable without data gives none. */
function computed(expression: string, numbersOf: (refId: string) => readonly LabelledNumber[]): LabelledNumber[] {
  const [, left = '', right = '', limit = ''] = /^\$([A-Z]) && \$([A-Z]) > (\d+)$/.exec(expression) ?? []
  if (left === '') throw new RangeError(`the expression "${expression}" is not understood here`)
  return numbersOf(left).flatMap((one) => {
    const other = numbersOf(right).find(({ labels }) => Object.entries(labels).every(([k, v]) => one.labels[k] === v))
    return other ? [{ ...one, value: Number(one.value !== 0 && other.value > Number(limit)) }] : []
  })
}
