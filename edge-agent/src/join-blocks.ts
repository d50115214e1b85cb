/** Blocks of one device and kind become one, so that many small ones do not each pay for names. */
import type { DeviceBlock, FieldColumn } from '@tributary/protocol'

/** Joins blocks that have the same columns; the order of the samples of a device stays. */
export function joinBlocks(blocks: readonly DeviceBlock[]): DeviceBlock[] {
  const alike = new Map<string, DeviceBlock[]>()
  for (const block of blocks) {
    const columns = block.columns.map(({ field, type }) => `${type} ${field}`).join(',')
    const key = `${block.device} ${block.kind} ${block.stampedByAgent === true} ${columns}`
    const known = alike.get(key)
    if (known) known.push(block)
    else alike.set(key, [block])
  }
  return [...alike.values()].map((group) => {
    const first = group[0] as DeviceBlock
    if (group.length === 1) return first
    return {
      ...first,
      timesMs: Float64Array.from(group.flatMap(({ timesMs }) => [...timesMs])),
      columns: first.columns.map((column, c) => joinColumns(column, group, c)),
    }
  })
}

function joinColumns(first: FieldColumn, group: readonly DeviceBlock[], c: number): FieldColumn {
  const flags = group.flatMap(({ timesMs, columns }) =>
    Array.from(columns[c]?.present ?? new Uint8Array(timesMs.length).fill(1)),
  )
  const present = flags.includes(0) ? Uint8Array.from(flags) : null
  const values = group.flatMap(({ columns }): (number | string)[] =>
    Array.from<number | string>(columns[c]?.values ?? []),
  )
  const { field } = first
  if (first.type === 'string') return { field, present, type: 'string', values: values as string[] }
  if (first.type === 'boolean') return { field, present, type: 'boolean', values: Uint8Array.from(values as number[]) }
  return { field, present, type: 'number', values: Float64Array.from(values as number[]) }
}
