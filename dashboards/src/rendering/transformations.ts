/** What a panel does to its tables before it shows them: Grafana's transformations, by their ids. */
import type { TransformationJson } from './dashboard-json.ts'
import type { Field, Table, Value } from './frames.ts'

type Options = TransformationJson['options']

const TRANSFORMATIONS: Readonly<Record<string, (tables: readonly Table[], options: Options) => readonly Table[]>> = {
  organize: (tables, options) => tables.map((table) => organized(table, options)),
  merge: (tables) => merged(tables),
  sortBy: (tables, options) => tables.map((table) => sorted(table, options)),
  joinByField: (tables, options) => joined(tables, options),
  seriesToColumns: (tables, options) => joined(tables, options),
}
export const TRANSFORMATION_IDS: readonly string[] = Object.keys(TRANSFORMATIONS)

/** @throws RangeError for one that is not known */
export function transformed(
  tables: readonly Table[],
  transformations: readonly TransformationJson[],
): readonly Table[] {
  return transformations.reduce((at, { id, options }) => {
    const transformation = TRANSFORMATIONS[id]
    if (!transformation) throw new RangeError(`the transformation "${id}" is not known here`)
    return transformation(at, options)
  }, tables)
}

function organized(table: Table, { excludeByName = {}, indexByName = {}, renameByName = {} }: Options): Table {
  const rank = (field: Field) => indexByName[field.name] ?? indexByName[field.title] ?? Number.MAX_SAFE_INTEGER
  const fields = table.fields
    .filter((field) => !excludeByName[field.name] && !excludeByName[field.title])
    .sort((a, b) => rank(a) - rank(b))
    .map((field) => ({ ...field, title: renameByName[field.name] || renameByName[field.title] || field.title }))
  return { ...table, fields }
}

/**
 * Rows of all tables in one. Two rows become one when they agree in every column that all tables have, and nowhere contradict
 * each other. A table whose query found nothing has no columns and takes no part.
 */
function merged(all: readonly Table[]): readonly Table[] {
  const tables = all.filter((table) => table.fields.length > 0)
  const [first] = tables
  if (!first || tables.length < 2) return first ? tables : all.slice(0, 1)
  const columns = new Map<string, Field>()
  for (const field of tables.flatMap((table) => table.fields))
    if (!columns.has(field.name)) columns.set(field.name, field)
  const names = [...columns.keys()]
  const keys = names.filter((name) => tables.every((table) => table.fields.some((field) => field.name === name)))
  if (keys.length === 0) return tables
  const rows: Map<string, Value>[] = []
  const byKey = new Map<string, Map<string, Value>[]>()
  for (const table of tables)
    for (let i = 0; i < table.rowCount; i++) {
      const row = new Map(table.fields.map((field) => [field.name, field.values[i] ?? null]))
      const key = JSON.stringify(keys.map((name) => row.get(name)))
      const alike = byKey.get(key) ?? []
      byKey.set(key, alike)
      const agreeing = alike.filter((other) => [...row].every(([name, value]) => (other.get(name) ?? value) === value))
      for (const other of agreeing) for (const [name, value] of row) other.set(name, value)
      if (agreeing.length > 0) continue
      alike.push(row)
      rows.push(row)
    }
  const fields = names.map((name) => ({
    ...(columns.get(name) as Field),
    values: rows.map((row) => row.get(name) ?? null),
  }))
  return [{ refId: first.refId, fields, rowCount: rows.length }]
}

/** By one column; what is not known comes last. */
function sorted(table: Table, { sort = [] }: Options): Table {
  const by = sort[0]
  const column = table.fields.find((field) => field.title === by?.field || field.name === by?.field)
  return column ? inOrder(table, orderBy(column.values, by?.desc ?? false)) : table
}

const inOrder = (table: Table, order: readonly number[]): Table => ({
  ...table,
  fields: table.fields.map((field) => ({ ...field, values: order.map((row) => field.values[row] ?? null) })),
})

/** Rows in the order of a column's values. */
export function orderBy(values: readonly Value[], isDescending: boolean): number[] {
  const sign = isDescending ? -1 : 1
  return values
    .map((_, row) => row)
    .sort((a, b) => {
      const [x, y] = [values[a] ?? null, values[b] ?? null]
      if (x === null || y === null) return Number(x === null) - Number(y === null)
      if (typeof x === 'number' && typeof y === 'number') return sign * (x - y)
      return sign * String(x).localeCompare(String(y), 'en', { numeric: true })
    })
}

/** One row for each value of the field, in ascending order, with the other columns of all tables (an outer join). */
function joined(tables: readonly Table[], { byField = 'Time' }: Options): readonly Table[] {
  const keyed = tables.flatMap((table) => {
    const key = table.fields.find((field) => field.name === byField || field.title === byField)
    return key ? [{ table, key, rowOf: new Map(key.values.map((value, row) => [value, row])) }] : []
  })
  const [first] = keyed
  if (!first || keyed.length < 2) return tables.slice(0, 1)
  const values = [...new Set(keyed.flatMap(({ key }) => key.values))]
  const ordered = orderBy(values, false).map((row) => values[row] ?? null)
  const columns = keyed.flatMap(({ table, key, rowOf }) =>
    table.fields
      .filter((field) => field !== key)
      .map((field) => ({ ...field, values: ordered.map((value) => field.values[rowOf.get(value) ?? -1] ?? null) })),
  )
  return [
    { refId: first.table.refId, fields: [{ ...first.key, values: ordered }, ...columns], rowCount: ordered.length },
  ]
}
