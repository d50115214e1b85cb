import { describe, expect, it } from 'vitest'
import type { PanelJson } from './dashboard-json.ts'
import { layout, REPEATS_MAX, scopedVariables } from './layout.ts'
import { ALL_VALUE, type SelectedVariable } from './macros.ts'

const panel = (
  id: number,
  [x, y, w, h]: [number, number, number, number],
  more: Partial<PanelJson> = {},
): PanelJson => ({
  id,
  type: 'stat',
  gridPos: { x, y, w, h },
  ...more,
})
const device = (values: readonly string[], options = values): SelectedVariable => ({
  name: 'device',
  values,
  options,
  isPattern: true,
})
/** `key x,y wxh` of each. */
const places = (panels: readonly PanelJson[], variables: SelectedVariable[] = [], toggled: number[] = []) =>
  layout(panels, variables, new Set(toggled)).map(({ key, position: { x, y, w, h } }) => `${key} ${x},${y} ${w}x${h}`)

describe('layout', () => {
  it('is as the file says, without empty space above a panel', () => {
    expect(places([panel(2, [12, 0, 12, 4]), panel(1, [0, 0, 12, 8]), panel(3, [12, 9, 12, 4])])).toEqual([
      '1 0,0 12x8',
      '2 12,0 12x4',
      '3 12,4 12x4',
    ])
  })
  it('repeats a panel for each value, side by side, and moves what is below', () => {
    const panels = [panel(1, [0, 0, 24, 6], { repeat: 'device', maxPerRow: 3 }), panel(2, [0, 6, 24, 2])]
    expect(places(panels, [device(['a'])])).toEqual(['1/a 0,0 24x6', '2 0,6 24x2'])
    expect(places(panels, [device([ALL_VALUE], ['a', 'b'])])).toEqual(['1/a 0,0 12x6', '1/b 12,0 12x6', '2 0,6 24x2'])
    expect(places(panels, [device(['a', 'b', 'c', 'd'])])).toEqual([
      '1/a 0,0 8x6',
      '1/b 8,0 8x6',
      '1/c 16,0 8x6',
      '1/d 0,6 8x6',
      '2 0,12 24x2',
    ])
    expect(places(panels, [device([])])).toEqual(['1 0,0 24x6', '2 0,6 24x2'])
  })
  it('leaves out what is too much, and says so', () => {
    const many = Array.from({ length: REPEATS_MAX + 2 }, (_, i) => `d${i}`)
    const placed = layout([panel(1, [0, 0, 24, 6], { repeat: 'device' })], [device(many)], new Set())
    expect(placed).toHaveLength(REPEATS_MAX + 1)
    expect(placed.at(-1)?.panel.options?.content).toMatch(/^2 more are not shown/)
  })
  it('closes and opens rows, whichever way the file has them', () => {
    const row = (id: number, y: number, more: Partial<PanelJson> = {}) =>
      panel(id, [0, y, 24, 1], { type: 'row', ...more })
    const inside = [panel(4, [0, 20, 24, 3])]
    const panels = [
      panel(1, [0, 0, 24, 2]),
      row(2, 2),
      panel(3, [0, 3, 24, 5]),
      row(9, 8, { collapsed: true, panels: inside }),
    ]
    expect(places(panels)).toEqual(['1 0,0 24x2', '2 0,2 24x1', '3 0,3 24x5', '9 0,8 24x1'])
    expect(places(panels, [], [2])).toEqual(['1 0,0 24x2', '2 0,2 24x1', '9 0,3 24x1'])
    expect(places(panels, [], [9])).toEqual(['1 0,0 24x2', '2 0,2 24x1', '3 0,3 24x5', '9 0,8 24x1', '4 0,9 24x3'])
  })
  it('lets a repeated panel see its own value alone', () => {
    const variables = [device(['a', 'b']), { ...device(['x']), name: 'site' }]
    const scoped = scopedVariables(variables, { name: 'device', value: 'b' })
    expect(scoped.map((v) => v.values)).toEqual([['b'], ['x']])
    expect(scopedVariables(variables, undefined)).toBe(variables)
  })
})
