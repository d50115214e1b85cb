import type { Table } from '../../src/rendering/frames.ts'
import { panelTable } from '../../src/rendering/panel-data.ts'
import { orderBy } from '../../src/rendering/transformations.ts'
import { element } from './dom.ts'
import type { PanelBody, PanelInput } from './panel-body.ts'
import { type Column, columnOf, tableCell } from './table-cell.ts'

const ROWS_SHOWN_MAX = 500
const FREE_WIDTH_MIN = 180

export function tableBody(container: HTMLElement): PanelBody {
  let sortedBy: { title: string; ascending: boolean } | undefined
  let input: PanelInput | undefined
  let drawnHead: string | undefined
  /** What each cell says, row by row: a cell that says the same stays, so that focus and selection do. */
  let signatures: string[][] = []
  const head = element('tr', { role: 'row' })
  const body = element('tbody', {})
  const thead = element('thead', {}, head)
  const more = element('p', { className: 'hint', hidden: true })
  const drawn = element('table', { role: 'table' }, thead, body)
  const root = element('div', { className: 'table', tabIndex: 0, role: 'region' }, drawn, more)
  container.append(root)

  const draw = (): boolean => {
    if (!input) return false
    const { panel } = input
    const table = panelTable(panel, input.answers)
    root.setAttribute('aria-label', panel.title ?? 'Table')
    drawn.hidden = table.rowCount === 0
    more.hidden = table.rowCount <= ROWS_SHOWN_MAX
    more.textContent = more.hidden ? '' : `${table.rowCount - ROWS_SHOWN_MAX} more rows are not shown`
    const columns = table.fields
      .map((field) => columnOf(field, input as PanelInput))
      .filter((c) => !c.settings.custom?.hidden)
    thead.hidden = panel.options?.showHeader === false
    drawHead(columns)
    const order = orderOf(table, columns)
    drawRows(table, columns, order.slice(0, ROWS_SHOWN_MAX))
    return table.rowCount > 0
  }
  const drawHead = (columns: readonly Column[]) => {
    const widths = columns.map((c) => c.settings.custom?.width)
    const key = JSON.stringify([columns.map((c) => [c.title, c.isRight]), widths, sortedBy])
    if (key === drawnHead) return
    drawnHead = key
    signatures = []
    const isFixed = widths.some((width) => width !== undefined)
    drawn.className = isFixed ? 'fixed' : ''
    // Columns without a width share what is left, but no less than a few words.
    const widthOf = ({ settings }: Column) => settings.custom?.width ?? settings.custom?.minWidth ?? FREE_WIDTH_MIN
    drawn.style.minWidth = isFixed ? `${columns.reduce((sum, column) => sum + widthOf(column), 0)}px` : ''
    const hadFocus = head.contains(document.activeElement) && (document.activeElement as HTMLElement).dataset['sort']
    head.replaceChildren(...columns.map(header))
    if (hadFocus) head.querySelector<HTMLElement>(`[data-sort=${JSON.stringify(hadFocus)}]`)?.focus()
  }
  const header = ({ title, settings, isRight }: Column) => {
    const direction = sortedBy?.title !== title ? 'none' : sortedBy.ascending ? 'ascending' : 'descending'
    const click = () => {
      sortedBy = direction === 'descending' ? undefined : { title, ascending: direction === 'none' }
      draw()
    }
    const button = element('button', { type: 'button', data: { sort: title }, on: { click } }, title)
    const cell = element('th', { scope: 'col', className: isRight ? 'number' : '', aria: { sort: direction } }, button)
    if (settings.custom?.width) cell.style.width = `${settings.custom.width}px`
    return cell
  }
  const drawRows = (table: Table, columns: readonly Column[], order: readonly number[]) => {
    while (body.rows.length > order.length) body.deleteRow(-1)
    signatures.length = Math.min(signatures.length, order.length)
    order.forEach((row, i) => {
      const cells = columns.map((column) => tableCell(table, column, row, input as PanelInput))
      const before = signatures[i]
      signatures[i] = cells.map((cell) => cell.signature)
      const line = body.rows[i] ?? newRow()
      if (!before || before.length !== cells.length) line.replaceChildren(...cells.map((cell) => cell.make()))
      else
        cells.forEach((cell, at) => {
          if (cell.signature !== before[at]) line.cells[at]?.replaceWith(cell.make())
        })
    })
  }
  /** With little room it is no row of a grid any more, and stays one to those who hear it. */
  const newRow = () => {
    const line = body.insertRow()
    line.role = 'row'
    return line
  }
  const orderOf = (table: Table, columns: readonly Column[]): number[] => {
    const [first] = input?.panel.options?.sortBy ?? []
    const by = sortedBy ?? (first && { title: first.displayName, ascending: !first.desc })
    const column = columns.find((c) => c.title === by?.title)
    return column ? orderBy(column.field.values, !by?.ascending) : Array.from({ length: table.rowCount }, (_, i) => i)
  }
  return {
    draw(next) {
      input = next
      return draw()
    },
    destroy: () => root.remove(),
  }
}
