/**
 * Which panels there are and where they stand: rows that can be closed, panels repeated for each value of a variable, and no
 * empty space above a panel, as in Grafana.
 */
import type { GridPosition, PanelJson } from './dashboard-json.ts'
import { type SelectedVariable, selectedValues } from './macros.ts'

export const GRID_COLUMNS = 24
const PER_ROW = 4
/** Of one panel; what is beyond is left out, and a line says so. */
export const REPEATS_MAX = 60

export interface PlacedPanel {
  /** The same in each layout in which the same panel stands for the same value. */
  readonly key: string
  readonly panel: PanelJson
  readonly position: GridPosition
  /** The value that a repeated panel stands for. */
  readonly repeated?: { readonly name: string; readonly value: string }
  /** Of rows. */
  readonly isOpen?: boolean
}

interface Section {
  readonly row: PanelJson | undefined
  readonly panels: readonly PanelJson[]
}

/** @param isToggled rows whose state differs from the file's, by their id */
export function layout(
  panels: readonly PanelJson[],
  variables: readonly SelectedVariable[],
  isToggled: ReadonlySet<number>,
): PlacedPanel[] {
  let top = 0
  return sectionsOf(panels).flatMap(({ row, panels: inside }) => {
    const placed: PlacedPanel[] = []
    const isOpen = !row || Boolean(row.collapsed) === isToggled.has(row.id)
    if (row) {
      placed.push({ key: `${row.id}`, panel: row, position: { x: 0, y: top, w: GRID_COLUMNS, h: 1 }, isOpen })
      top++
    }
    if (!isOpen) return placed
    const { items, height } = compacted(inside.flatMap((panel) => repeatedPanels(panel, variables)))
    placed.push(...items.map((item) => ({ ...item, position: { ...item.position, y: item.position.y + top } })))
    top += height
    return placed
  })
}

const byPlace = (a: PanelJson, b: PanelJson) => a.gridPos.y - b.gridPos.y || a.gridPos.x - b.gridPos.x

/** What stands before the first row, then each row with what follows it, or what it holds when the file has it closed. */
function sectionsOf(panels: readonly PanelJson[]): Section[] {
  const sections: { row: PanelJson | undefined; panels: PanelJson[] }[] = [{ row: undefined, panels: [] }]
  for (const panel of [...panels].sort(byPlace))
    if (panel.type === 'row') sections.push({ row: panel, panels: [...(panel.panels ?? [])].sort(byPlace) })
    else sections.at(-1)?.panels.push(panel)
  return sections
}

function repeatedPanels(panel: PanelJson, variables: readonly SelectedVariable[]): PlacedPanel[] {
  const alone = { key: `${panel.id}`, panel, position: panel.gridPos }
  const variable = variables.find((v) => v.name === panel.repeat)
  const values = variable ? selectedValues(variable) : []
  if (!variable || values.length === 0) return [alone]
  const shown = values.slice(0, REPEATS_MAX)
  const perRow = Math.min(shown.length, panel.maxPerRow ?? PER_ROW)
  const edge = (column: number) => Math.round((column * GRID_COLUMNS) / perRow)
  const { y, h } = panel.gridPos
  const placed: PlacedPanel[] = shown.map((value, i) => {
    const x = edge(i % perRow)
    const position = { x, y: y + Math.floor(i / perRow) * h, w: edge((i % perRow) + 1) - x, h }
    return { key: `${panel.id}/${value}`, panel, position, repeated: { name: variable.name, value } }
  })
  if (values.length > shown.length) {
    const content = `${values.length - shown.length} more are not shown here: choose fewer of them above.`
    const position = { x: 0, y: y + Math.ceil(shown.length / perRow) * h, w: GRID_COLUMNS, h: 2 }
    const note: PanelJson = { id: panel.id, type: 'text', gridPos: position, options: { content } }
    placed.push({ key: `${panel.id}/…`, panel: note, position })
  }
  return placed
}

/** Each panel as high up as those above it allow; panels that a repeated one grew into move down. */
function compacted(items: readonly PlacedPanel[]): { items: PlacedPanel[]; height: number } {
  const bottoms = new Array<number>(GRID_COLUMNS).fill(0)
  const placed = items.map((item) => {
    const { x, w, h } = item.position
    const y = Math.max(...bottoms.slice(x, x + w))
    bottoms.fill(y + h, x, x + w)
    return { ...item, position: { x, y, w, h } }
  })
  return { items: placed, height: Math.max(...bottoms) }
}

/** The variables as a repeated panel sees them. */
export const scopedVariables = (
  variables: readonly SelectedVariable[],
  repeated: PlacedPanel['repeated'],
): readonly SelectedVariable[] =>
  repeated
    ? variables.map((variable) =>
        variable.name === repeated.name ? { ...variable, values: [repeated.value] } : variable,
      )
    : variables
