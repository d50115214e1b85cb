/** Collects the samples of one device and kind as columns that grow. */
import type { DeviceBlock, FieldColumn } from '@tributary/protocol'
import type { Sample } from './sample.ts'

type ColumnType = FieldColumn['type']

interface GrowingColumn {
  readonly field: string
  readonly type: ColumnType
  numbers: Float64Array
  booleans: Uint8Array
  strings: string[]
  present: Uint8Array
  presentCount: number
}

export interface BlockBuilder {
  readonly sampleCount: number
  readonly columnCount: number
  /** Columns that this sample would add. */
  newColumns(sample: Sample): number
  add(sample: Sample, timeMs: number): void
  finish(): DeviceBlock
}

const FIRST_CAPACITY = 32
const columnKey = (field: string, type: ColumnType): string => `${type.charAt(0)}${field}`
const typeOf = (value: Sample['values'][number]): ColumnType => typeof value as ColumnType

/** @param isStamped the agent stamped the samples, which have no time of their own */
export function createBlockBuilder(device: string, kind: string, isStamped: boolean): BlockBuilder {
  const columns = new Map<string, GrowingColumn>()
  /** Those of the newest sample: mostly the next one has the same fields in the same order, and needs no look-up. */
  let usual: GrowingColumn[] = []
  let times = new Float64Array(FIRST_CAPACITY)
  let count = 0

  const columnFor = (field: string, type: ColumnType): GrowingColumn => {
    const key = columnKey(field, type)
    const known = columns.get(key)
    if (known) return known
    const column: GrowingColumn = {
      field,
      type,
      numbers: new Float64Array(type === 'number' ? times.length : 0),
      booleans: new Uint8Array(type === 'boolean' ? times.length : 0),
      strings: [],
      present: new Uint8Array(times.length),
      presentCount: 0,
    }
    columns.set(key, column)
    return column
  }
  const isUsual = ({ names, values }: Sample): boolean => {
    if (names.length !== usual.length) return false
    for (let i = 0; i < usual.length; i++) {
      const column = usual[i] as GrowingColumn
      if (column.field !== names[i] || column.type !== typeof values[i]) return false
    }
    return true
  }
  const grow = () => {
    const capacity = times.length * 2
    times = enlarged(times, new Float64Array(capacity))
    for (const column of columns.values()) {
      column.present = enlarged(column.present, new Uint8Array(capacity))
      if (column.type === 'number') column.numbers = enlarged(column.numbers, new Float64Array(capacity))
      if (column.type === 'boolean') column.booleans = enlarged(column.booleans, new Uint8Array(capacity))
    }
  }
  return {
    get sampleCount() {
      return count
    },
    get columnCount() {
      return columns.size
    },
    newColumns(sample) {
      if (isUsual(sample)) return 0
      let missing = 0
      for (let i = 0; i < sample.names.length; i++)
        if (!columns.has(columnKey(sample.names[i] as string, typeOf(sample.values[i] as number)))) missing++
      return missing
    },
    add(sample, timeMs) {
      if (count === times.length) grow()
      times[count] = timeMs
      if (!isUsual(sample))
        usual = sample.names.map((name, i) => columnFor(name, typeOf(sample.values[i] as Sample['values'][number])))
      for (let i = 0; i < usual.length; i++) {
        const value = sample.values[i] as Sample['values'][number]
        const column = usual[i] as GrowingColumn
        if (typeof value === 'number') column.numbers[count] = value
        else if (typeof value === 'boolean') column.booleans[count] = value ? 1 : 0
        else column.strings[count] = value
        column.present[count] = 1
        column.presentCount++
      }
      count++
    },
    finish: () => ({
      device,
      kind,
      ...(isStamped && { stampedByAgent: true as const }),
      timesMs: times.slice(0, count),
      columns: [...columns.values()].map((column): FieldColumn => {
        const present = column.presentCount === count ? null : column.present.slice(0, count)
        const { field } = column
        if (column.type === 'number') return { field, present, type: 'number', values: column.numbers.slice(0, count) }
        if (column.type === 'boolean')
          return { field, present, type: 'boolean', values: column.booleans.slice(0, count) }
        return {
          field,
          present,
          type: 'string',
          values: Array.from({ length: count }, (_, i) => column.strings[i] ?? ''),
        }
      }),
    }),
  }
}

function enlarged<T extends Float64Array | Uint8Array>(from: T, to: T): T {
  to.set(from)
  return to
}
