import { colourOf } from '../../src/rendering/colours.ts'
import type { FieldSettings } from '../../src/rendering/dashboard-json.ts'
import { settingsOf, shown } from '../../src/rendering/field-config.ts'
import { type Field, rowOf, type Table, tableOf, transformed, type Value } from '../../src/rendering/frames.ts'
import { fillLink } from '../../src/rendering/macros.ts'
import { localTime } from '../../src/rendering/time-range.ts'
import { isTimeUnit } from '../../src/rendering/units.ts'
import { element } from './dom.ts'
import type { PanelBody, PanelInput } from './panel-body.ts'

const ROWS_SHOWN_MAX = 500
const FREE_WIDTH_MIN = 180

export function tableBody(container: HTMLElement): PanelBody {
  let sortedBy: { title: string; ascending: boolean } | undefined
  let input: PanelInput | undefined
  const root = element('div', { className: 'table', tabIndex: 0 })
  container.append(root)

  const draw = (): boolean => {
    if (!input) return false
    const { panel, answers } = input
    const table = transformed(tableOf(answers[0] ?? {}), panel.transformations ?? [])
    root.setAttribute('role', 'region')
    root.setAttribute('aria-label', panel.title ?? 'Table')
    if (table.rowCount === 0) {
      root.replaceChildren()
      return false
    }
    const columns = table.fields.map((field) => columnOf(field, input as PanelInput))
    const order = orderOf(table, sortedBy)
    const widths = columns.map((c) => c.settings.custom?.width)
    const isFixed = widths.some((width) => width !== undefined)
    const hadFocus = root.contains(document.activeElement) && (document.activeElement as HTMLElement).dataset['sort']
    const drawn = element(
      'table',
      { className: isFixed ? 'fixed' : '' },
      element('thead', {}, element('tr', {}, ...columns.map(header))),
      element('tbody', {}, ...order.slice(0, ROWS_SHOWN_MAX).map((row) => bodyRow(table, columns, row))),
    )
    // Columns without a width share what is left, but no less than a few words.
    if (isFixed) drawn.style.minWidth = `${widths.reduce<number>((sum, width) => sum + (width ?? FREE_WIDTH_MIN), 0)}px`
    root.replaceChildren(drawn)
    if (hadFocus) root.querySelector<HTMLElement>(`[data-sort=${JSON.stringify(hadFocus)}]`)?.focus()
    return true
  }
  const header = ({ field, settings, isNumeric }: Column) => {
    const direction = sortedBy?.title !== field.title ? 'none' : sortedBy.ascending ? 'ascending' : 'descending'
    const cell = element(
      'th',
      { scope: 'col', className: isNumeric ? 'number' : '', aria: { sort: direction } },
      element(
        'button',
        {
          type: 'button',
          data: { sort: field.title },
          on: {
            click: () => {
              sortedBy =
                direction === 'descending' ? undefined : { title: field.title, ascending: direction === 'none' }
              draw()
            },
          },
        },
        field.title,
      ),
    )
    if (settings.custom?.width) cell.style.width = `${settings.custom.width}px`
    return cell
  }
  const bodyRow = (table: Table, columns: readonly Column[], row: number) =>
    element('tr', {}, ...columns.map((column) => bodyCell(table, column, row)))

  const bodyCell = (table: Table, { field, settings, isNumeric }: Column, row: number) => {
    const { nowMs, theme, rawRange, variables } = input as PanelInput
    const value = field.values[row] ?? null
    const { text, suffix, colour } = shown(value, settings, nowMs)
    const content = element('span', {}, text, suffix !== '' && element('small', {}, suffix))
    if (colour && settings.custom?.displayMode === 'color-text') content.style.color = colourOf(colour, theme)
    const link = settings.links?.[0]
    const href = link && fillLink(link.url, { row: rowOf(table, row), rawRange, variables })
    const title = isTimeUnit(settings.unit) && typeof value === 'number' ? localTime(value) : text + suffix
    return element(
      'td',
      { className: isNumeric ? 'number' : '', title: link ? link.title : title },
      href ? element('a', { href }, content) : content,
    )
  }
  return {
    draw(next) {
      input = next
      return draw()
    },
    destroy: () => root.remove(),
  }
}

interface Column {
  readonly field: Field
  readonly settings: FieldSettings
  readonly isNumeric: boolean
}

function columnOf(field: Field, { panel }: PanelInput): Column {
  const settings = settingsOf(panel.fieldConfig, [field.name, field.title])
  const isNumeric =
    !isTimeUnit(settings.unit) && field.values.some((v) => typeof v === 'number') && field.name !== 'Time'
  // A column of times needs no override to be readable.
  const isTime = field.name === 'Time' && settings.unit === undefined
  return { field, settings: isTime ? { ...settings, unit: 'dateTimeAsLocal' } : settings, isNumeric }
}

function orderOf(table: Table, sortedBy: { title: string; ascending: boolean } | undefined): number[] {
  const rows = Array.from({ length: table.rowCount }, (_, i) => i)
  const column = sortedBy && table.fields.find((f) => f.title === sortedBy.title)
  if (!column || !sortedBy) return rows
  const sign = sortedBy.ascending ? 1 : -1
  return rows.sort((a, b) => sign * compare(column.values[a] ?? null, column.values[b] ?? null))
}

function compare(a: Value, b: Value): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  return String(a ?? '').localeCompare(String(b ?? ''), 'en', { numeric: true })
}
