/** A panel's frame: title, what it is doing, why it is empty; asks its queries and hands the answers to its body. */

import type { Theme } from '../../src/rendering/colours.ts'
import type { PanelJson } from '../../src/rendering/dashboard-json.ts'
import { PANEL_TYPES, type PanelType } from '../../src/rendering/features.ts'
import { ALL_VALUE, fillQuery, type SelectedVariable } from '../../src/rendering/macros.ts'
import { durationMs, intervalMs, localTime, type RawRange, type TimeRange } from '../../src/rendering/time-range.ts'
import type { BrowserClock } from './clock.ts'
import { element, icon } from './dom.ts'
import type { AnnotationEvent, PanelBody, PanelContext, PanelInput } from './panel-body.ts'
import type { Ask } from './queries.ts'
import { statBody } from './stat-body.ts'
import { stateTimelineBody } from './state-timeline-body.ts'
import { tableBody } from './table-body.ts'
import { timeSeriesBody } from './time-series-body.ts'

const BODIES: Record<PanelType, (container: HTMLElement, context: PanelContext) => PanelBody> = {
  timeseries: timeSeriesBody,
  stat: statBody,
  table: tableBody,
  'state-timeline': stateTimelineBody,
}
const INTERVAL_MS_MIN = 1_000
const POINTS_MIN = 100
/** Shorter waiting is not shown: the panel would flicker at each refresh. */
const LOADING_SHOWN_AFTER_MS = 400

export interface Round {
  readonly ask: Ask
  readonly signal: AbortSignal
  readonly range: TimeRange
  readonly rawRange: RawRange
  readonly nowMs: number
  readonly theme: Theme
  readonly variables: readonly SelectedVariable[]
  readonly annotations: Promise<readonly (AnnotationEvent & { readonly panelIds: readonly number[] | undefined })[]>
}

export interface PanelView {
  readonly root: HTMLElement
  refresh(round: Round): Promise<void>
  /** Draws what is there again, in another theme. */
  redraw(theme: Theme): void
  destroy(): void
}

export function panelView(panel: PanelJson, context: PanelContext, clock: BrowserClock): PanelView {
  const content = element('div', { className: 'content' })
  const message = element('div', { className: 'message', role: 'status', hidden: true })
  const root = element(
    'section',
    {
      className: `panel ${panel.type}`,
      aria: { label: panel.title ?? 'Panel', busy: 'false' },
      data: { state: 'loading' },
    },
    element(
      'header',
      {},
      element('h2', {}, panel.title ?? ''),
      panel.description !== undefined &&
        element(
          'span',
          {
            className: 'about',
            tabIndex: 0,
            title: panel.description,
            role: 'note',
            aria: { label: panel.description },
          },
          icon('info'),
        ),
    ),
    content,
    message,
  )
  const { x, y, w, h } = panel.gridPos
  root.style.setProperty('--x', String(x + 1))
  root.style.setProperty('--y', String(y + 1))
  root.style.setProperty('--w', String(w))
  root.style.setProperty('--h', String(h))

  const type = PANEL_TYPES.find((known) => known === panel.type)
  const body = type && BODIES[type](content, context)
  let drawn: PanelInput | undefined

  const say = (state: 'ready' | 'empty' | 'error', text = '') => {
    root.dataset['state'] = state
    message.hidden = text === ''
    message.textContent = text
  }
  const draw = (input: PanelInput) => {
    drawn = input
    const hasData = body?.draw(input) ?? false
    if (hasData) say('ready')
    else say('empty', emptyText(panel, input))
  }
  return {
    root,
    async refresh(round) {
      if (!body) {
        say('error', `This viewer cannot draw panels of type "${panel.type}"; Grafana can.`)
        return
      }
      const ownMs = panel.timeFrom === undefined ? undefined : durationMs(panel.timeFrom)
      const range = ownMs === undefined ? round.range : { fromMs: round.nowMs - ownMs, toMs: round.nowMs }
      const points = Math.max(POINTS_MIN, content.clientWidth)
      const shortest = Math.max(INTERVAL_MS_MIN, durationMs(panel.interval ?? '') ?? 0)
      const query = { range, intervalMs: intervalMs(range, points, shortest), variables: round.variables }
      const stopWaiting = clock.after(LOADING_SHOWN_AFTER_MS, () => root.setAttribute('aria-busy', 'true'))
      try {
        const [answers, annotations] = await Promise.all([
          Promise.all((panel.targets ?? []).map((target) => round.ask(fillQuery(target.query, query)))),
          panel.type === 'timeseries' ? round.annotations : [],
        ])
        if (round.signal.aborted) return
        const { rawRange, nowMs, theme, variables } = round
        const own = annotations.filter((a) => a.panelIds?.includes(panel.id) ?? true)
        draw({ panel, answers, range, rawRange, nowMs, theme, variables, annotations: own })
      } catch (error) {
        if (round.signal.aborted) return
        say('error', error instanceof Error ? error.message : String(error))
      } finally {
        stopWaiting()
        root.setAttribute('aria-busy', 'false')
      }
    },
    redraw(theme) {
      if (drawn && root.dataset['state'] !== 'error') draw({ ...drawn, theme })
    },
    destroy() {
      body?.destroy()
      root.remove()
    },
  }
}

function emptyText(panel: PanelJson, { range, variables, nowMs }: PanelInput): string {
  const said = panel.type === 'table' ? panel.fieldConfig?.defaults.noValue : undefined
  if (said && said !== '–') return said
  const chosen = variables
    .filter((v) => v.isPattern && !v.values.includes(ALL_VALUE))
    .map((v) => v.values.join(', '))
    .join(' · ')
  const today = localTime(nowMs).slice(0, 10)
  const when = (timeMs: number) => localTime(timeMs).replace(`${today} `, '')
  return `No data from ${when(range.fromMs)} to ${when(range.toMs)}${chosen ? ` for ${chosen}` : ''}`
}
