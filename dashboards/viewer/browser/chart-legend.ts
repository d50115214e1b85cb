/** The series of a chart by name, with what their calculations say; a click shows one alone, with Ctrl or Shift it adds or removes one. */
import type { PanelOptionsJson } from '../../src/rendering/dashboard-json.ts'
import { type NamedSeries, shown } from '../../src/rendering/field-config.ts'
import { reduced, reducerTitle } from '../../src/rendering/reducers.ts'
import { element, swatch } from './dom.ts'

export interface LegendItem {
  readonly series: NamedSeries
  readonly colour: string
  readonly isShown: boolean
}

export interface ChartLegend {
  readonly root: HTMLElement
  draw(items: readonly LegendItem[], options: PanelOptionsJson['legend'], nowMs: number): void
}

export function chartLegend(onChoose: (name: string, keepOthers: boolean) => void): ChartLegend {
  const root = element('div', { className: 'legend' })
  const button = ({ series, colour, isShown }: LegendItem, ...more: (Node | false)[]) => {
    const mark = swatch(colour)
    mark.style.color = colour
    mark.classList.toggle('dashed', (series.settings.custom?.lineStyle?.fill ?? 'solid') !== 'solid')
    return element(
      'button',
      {
        type: 'button',
        title: 'Show only this; with Ctrl or Shift: show or hide this',
        data: { series: series.name },
        aria: { pressed: String(isShown) },
        on: { click: (event) => onChoose(series.name, event.ctrlKey || event.metaKey || event.shiftKey) },
      },
      mark,
      element('span', {}, series.name),
      ...more,
    )
  }
  const said = ({ series }: LegendItem, calculation: string, nowMs: number): string => {
    const value = reduced(series.values, calculation)
    const { text, suffix } = shown(value, calculation === 'count' ? {} : series.settings, nowMs)
    return text + suffix
  }
  const list = (items: readonly LegendItem[], calcs: readonly string[], nowMs: number) =>
    items.map((item) =>
      button(
        item,
        ...calcs.flatMap((calculation) => [
          calculation !== 'lastNotNull' && element('small', {}, reducerTitle(calculation)),
          element('b', {}, said(item, calculation, nowMs)),
        ]),
      ),
    )
  const table = (items: readonly LegendItem[], calcs: readonly string[], nowMs: number) =>
    element(
      'table',
      {},
      element(
        'thead',
        {},
        element(
          'tr',
          {},
          element('th', { scope: 'col' }, 'Name'),
          ...calcs.map((calculation) =>
            element('th', { scope: 'col', className: 'number' }, reducerTitle(calculation)),
          ),
        ),
      ),
      element(
        'tbody',
        {},
        ...items.map((item) =>
          element(
            'tr',
            {},
            element('td', {}, button(item)),
            ...calcs.map((calculation) => element('td', { className: 'number' }, said(item, calculation, nowMs))),
          ),
        ),
      ),
    )
  return {
    root,
    draw(all, { showLegend = true, displayMode = 'list', calcs = [] } = {}, nowMs) {
      const items = all.filter(({ series }) => !series.settings.custom?.hideFrom?.legend)
      root.hidden = !showLegend || items.length === 0
      root.classList.toggle('as-table', displayMode === 'table')
      const focused = (document.activeElement as HTMLElement | null)?.dataset['series']
      const hadFocus = root.contains(document.activeElement)
      root.replaceChildren(...(displayMode === 'table' ? [table(items, calcs, nowMs)] : list(items, calcs, nowMs)))
      if (hadFocus) root.querySelector<HTMLElement>(`[data-series=${JSON.stringify(focused)}]`)?.focus()
    },
  }
}
