/** A series as one value: Grafana's calculations, by their ids. */
import type { Value } from './frames.ts'

interface Reducer {
  /** As the legend's table heads it. */
  readonly title: string
  readonly reduce: (values: readonly Value[]) => Value
}

const numbersOf = (values: readonly Value[]) => values.filter((value): value is number => typeof value === 'number')
const ofNumbers =
  (reduce: (numbers: readonly number[]) => number) =>
  (values: readonly Value[]): Value => {
    const numbers = numbersOf(values)
    return numbers.length > 0 ? reduce(numbers) : null
  }
const total = (numbers: readonly number[]) => numbers.reduce((sum, value) => sum + value, 0)
const isValue = (value: Value) => value !== null && value !== undefined

const REDUCERS: Readonly<Record<string, Reducer>> = {
  lastNotNull: { title: 'Last *', reduce: (values) => values.findLast(isValue) ?? null },
  last: { title: 'Last', reduce: (values) => values.at(-1) ?? null },
  firstNotNull: { title: 'First *', reduce: (values) => values.find(isValue) ?? null },
  first: { title: 'First', reduce: (values) => values[0] ?? null },
  min: { title: 'Min', reduce: ofNumbers((numbers) => numbers.reduce((a, b) => Math.min(a, b))) },
  max: { title: 'Max', reduce: ofNumbers((numbers) => numbers.reduce((a, b) => Math.max(a, b))) },
  mean: { title: 'Mean', reduce: ofNumbers((numbers) => total(numbers) / numbers.length) },
  sum: { title: 'Total', reduce: ofNumbers(total) },
  count: { title: 'Count', reduce: (values) => values.length },
}

export const isKnownReducer = (id: string): boolean => Object.hasOwn(REDUCERS, id)
export const reducerTitle = (id: string): string => REDUCERS[id]?.title ?? id
/** @throws RangeError for an id that is not known */
export function reduced(values: readonly Value[], id: string): Value {
  const reducer = REDUCERS[id]
  if (!reducer) throw new RangeError(`the calculation "${id}" is not known here`)
  return reducer.reduce(values)
}
