/** Under the policy `type: flag` or `pass`, values of another type are taken where nothing is lost by it: "21.5" as 21.5, true as 1. */
import type { Contract, DeviceBlock, FieldColumn } from '@tributary/protocol'
import { columnTypeOf } from './shape.ts'

export interface Converted {
  readonly block: DeviceBlock
  /** Which samples of which fields were converted. */
  readonly samples: ReadonlyMap<string, readonly number[]>
}

const NUMBER = /^\s*[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?\s*$/i

/** Pure. What cannot be converted keeps its column, and the contract refuses it. @returns undefined when every column has its type */
export function convertValues(contract: Contract, block: DeviceBlock): Converted | undefined {
  const isOther = (column: FieldColumn) => {
    const field = Object.hasOwn(contract.fields, column.field) ? contract.fields[column.field] : undefined
    return field !== undefined && columnTypeOf(field) !== column.type
  }
  if (!block.columns.some(isOther)) return undefined
  const samples = new Map<string, number[]>()
  const columns = block.columns.flatMap((column): FieldColumn[] => {
    if (!isOther(column)) return [column]
    const { field } = column
    const type = columnTypeOf(contract.fields[field] as Contract['fields'][string])
    const values = Array.from(block.timesMs, (_, i) =>
      column.present === null || column.present[i] === 1 ? convert(column, i, type) : undefined,
    )
    const present = Uint8Array.from(values, (value) => (value === undefined ? 0 : 1))
    const converted = [...values.keys()].filter((i) => present[i] === 1)
    samples.set(field, [...(samples.get(field) ?? []), ...converted])
    const rest = Uint8Array.from(present, (is, i) => (is === 0 && column.present?.[i] !== 0 ? 1 : 0))
    return [
      ...(converted.length > 0 ? [columnOf(field, present, type, values)] : []),
      ...(rest.includes(1) ? [{ ...column, present: rest }] : []),
    ]
  })
  return { block: { ...block, columns }, samples }
}

function convert(column: FieldColumn, i: number, type: FieldColumn['type']): number | string | undefined {
  const value = column.type === 'string' ? (column.values[i] as string) : (column.values[i] as number)
  if (type === 'string') return column.type === 'boolean' ? String(value === 1) : String(value)
  if (typeof value === 'number') return type === 'number' || value === 0 || value === 1 ? value : undefined
  if (type === 'number') return NUMBER.test(value) ? Number(value) : undefined
  const word = value.trim().toLowerCase()
  return word === 'true' || word === '1' ? 1 : word === 'false' || word === '0' ? 0 : undefined
}

function columnOf(
  field: string,
  present: Uint8Array,
  type: FieldColumn['type'],
  values: readonly (number | string | undefined)[],
): FieldColumn {
  if (type === 'string') return { field, present, type, values: values.map((value) => String(value ?? '')) }
  const numbers = (value: number | string | undefined) => Number(value ?? 0)
  if (type === 'boolean') return { field, present, type, values: Uint8Array.from(values, numbers) }
  return { field, present, type, values: Float64Array.from(values, numbers) }
}
