/** Series on top of each other, as Grafana's "normal" stacking: within a group, positive and negative ones apart. */

type Column = readonly (number | null | undefined)[]

export interface Stacked {
  /** What is drawn: each value on top of those before it. */
  readonly columns: (number | null | undefined)[][]
  /** For each series the one it stands on; undefined for none. */
  readonly below: (number | undefined)[]
}

/**
 * @param groups one a series; undefined: it is not stacked
 * @param isHidden a hidden series takes no room
 */
export function stacked(
  columns: readonly Column[],
  groups: readonly (string | undefined)[],
  isHidden: (index: number) => boolean,
): Stacked {
  const sums = new Map<string, number[]>()
  const last = new Map<string, number>()
  const below: (number | undefined)[] = []
  const result = columns.map((column, i) => {
    const group = groups[i]
    if (group === undefined || isHidden(i)) return [...column]
    const isNegative =
      column.some((value) => typeof value === 'number' && value < 0) && column.every((value) => (value ?? 0) <= 0)
    const key = `${isNegative ? '-' : '+'}${group}`
    const sum = sums.get(key) ?? new Array<number>(column.length).fill(0)
    sums.set(key, sum)
    below[i] = last.get(key)
    last.set(key, i)
    // What is missing counts as nothing, so that those on top of it do not break.
    return column.map((value, at) => {
      sum[at] = (sum[at] as number) + (value ?? 0)
      return value === null || value === undefined ? value : sum[at]
    })
  })
  return { columns: result, below: columns.map((_, i) => below[i]) }
}
