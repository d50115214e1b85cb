/** A panel's frame: title, links, what it is doing, why it is empty; asks its queries and hands the answers to its body. */
import type { Theme } from '../../src/rendering/colours.ts'
import type { PanelJson } from '../../src/rendering/dashboard-json.ts'
import type { PlacedPanel } from '../../src/rendering/layout.ts'
import { scopedVariables } from '../../src/rendering/layout.ts'
import { fillQuery, fillText, type SelectedVariable } from '../../src/rendering/macros.ts'
import { targetsOf } from '../../src/rendering/panel-data.ts'
import type { PanelType } from '../../src/rendering/panel-features.ts'
import { durationMs, intervalMs, type RawRange, type TimeRange } from '../../src/rendering/time-range.ts'
import type { PlacedEvent } from './annotations.ts'
import { barGaugeBody } from './bar-gauge-body.ts'
import type { BrowserClock } from './clock.ts'
import { element, icon } from './dom.ts'
import { emptyText } from './empty-text.ts'
import { heatmapBody } from './heatmap-body.ts'
import { filledLinks, type PanelBody, type PanelContext, type PanelInput } from './panel-body.ts'
import { panelLinks } from './panel-links.ts'
import type { Ask } from './queries.ts'
import { statBody } from './stat-body.ts'
import { stateTimelineBody } from './state-timeline-body.ts'
import { tableBody } from './table-body.ts'
import { textBody } from './text-body.ts'
import { timeSeriesBody } from './time-series-body.ts'

const BODIES: Record<Exclude<PanelType, 'row'>, (container: HTMLElement, context: PanelContext) => PanelBody> = {
  timeseries: timeSeriesBody,
  stat: statBody,
  table: tableBody,
  'state-timeline': stateTimelineBody,
  heatmap: heatmapBody,
  bargauge: barGaugeBody,
  text: textBody,
}
/** Of the types that we draw, those that Grafana puts events on. */
const ANNOTATED: ReadonlySet<string> = new Set(['timeseries', 'state-timeline'])
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
  readonly annotations: Promise<readonly PlacedEvent[]>
}

export interface PanelView {
  readonly root: HTMLElement
  place(placed: PlacedPanel, variables: readonly SelectedVariable[]): void
  /** @param signal that nobody looks any more. @returns whether the panel shows what the round has */
  refresh(round: Round, signal: AbortSignal): Promise<boolean>
  /** Draws what is there again, in another theme. */
  redraw(theme: Theme): void
  destroy(): void
}

/** @param lacking what the panel uses that is not drawn */
export function panelView(
  { panel, repeated }: PlacedPanel,
  context: PanelContext,
  clock: BrowserClock,
  lacking: readonly string[],
): PanelView {
  const content = element('div', { className: 'content' })
  const message = element('div', { className: 'message', role: 'status', hidden: true })
  const heading = element('h2', {}, panel.title ?? '')
  const about = element('span', { className: 'about', tabIndex: 0, role: 'note' }, icon('info'))
  const own = panelLinks()
  const warning =
    lacking.length > 0 &&
    element(
      'span',
      { className: 'about lacking', tabIndex: 0, role: 'note', title: `Not drawn here: ${lacking.join('; ')}` },
      icon('warning'),
    )
  const head = element('header', {}, heading, panel.description !== undefined && about, warning, own.root)
  head.hidden = !panel.title && !panel.description && !panel.links?.length && lacking.length === 0
  const root = element(
    'section',
    {
      className: `panel ${panel.type}`,
      aria: { label: panel.title || 'Panel', busy: 'false' },
      data: { state: 'loading', panel: String(panel.id) },
    },
    head,
    content,
    message,
  )
  root.classList.toggle('transparent', panel.transparent === true)

  const type = Object.keys(BODIES).find((known) => known === panel.type) as keyof typeof BODIES | undefined
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
  const entitle = (variables: readonly SelectedVariable[]) => {
    const title = fillText(panel.title ?? '', variables)
    if (heading.textContent !== title) heading.textContent = title
    heading.title = title
    root.setAttribute('aria-label', title || 'Panel')
    about.title = fillText(panel.description ?? '', variables)
    about.setAttribute('aria-label', about.title)
  }
  const rangeFor = ({ range, nowMs }: Round): TimeRange => {
    const ownMs = panel.timeFrom === undefined ? undefined : durationMs(panel.timeFrom)
    return ownMs === undefined ? range : { fromMs: nowMs - ownMs, toMs: nowMs }
  }
  const pointsMax = () => panel.maxDataPoints ?? Math.max(POINTS_MIN, content.clientWidth)

  return {
    root,
    place({ position: { x, y, w, h } }, variables) {
      entitle(scopedVariables(variables, repeated))
      for (const [property, value] of Object.entries({ '--x': x + 1, '--y': y + 1, '--w': w, '--h': h }))
        root.style.setProperty(property, String(value))
    },
    async refresh(round, gone) {
      if (!body) {
        say('error', `This viewer cannot draw panels of type "${panel.type}"; Grafana can.`)
        return true
      }
      const signal = AbortSignal.any([round.signal, gone])
      const range = rangeFor(round)
      const shortest = Math.max(INTERVAL_MS_MIN, durationMs(panel.interval ?? '') ?? 0)
      const variables = scopedVariables(round.variables, repeated)
      own.offer(filledLinks(panel.links, { rawRange: round.rawRange, variables }))
      const query = { range, intervalMs: intervalMs(range, pointsMax(), shortest), variables }
      const stopWaiting = clock.after(LOADING_SHOWN_AFTER_MS, () => {
        root.setAttribute('aria-busy', 'true')
        if (!drawn && root.dataset['state'] === 'loading') {
          message.hidden = false
          message.textContent = 'Loading'
        }
      })
      try {
        const [answers, annotations] = await Promise.all([
          Promise.all(targetsOf(panel).map((target) => round.ask(fillQuery(target.query, query), signal))),
          ANNOTATED.has(panel.type) ? round.annotations : [],
        ])
        if (signal.aborted) return false
        const { rawRange, nowMs, theme } = round
        const events = annotations.filter((event) => event.isFor(panel.id))
        draw({ panel, answers, rawRange, nowMs, theme, annotations: events, ...query })
      } catch (error) {
        if (signal.aborted) return false
        say('error', error instanceof Error ? error.message : String(error))
      } finally {
        stopWaiting()
        root.setAttribute('aria-busy', 'false')
      }
      return true
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

/** The heading of panels that can be closed together. */
export function rowView(
  { panel }: PlacedPanel,
  onToggle: (id: number) => void,
): Pick<PanelView, 'root' | 'place'> & { name(variables: readonly SelectedVariable[], isOpen: boolean): void } {
  const text = element('span', {}, panel.title ?? '')
  const button = element(
    'button',
    { type: 'button', aria: { expanded: 'true' }, on: { click: () => onToggle(panel.id) } },
    icon('chevron'),
    text,
  )
  const root = element('h2', { className: 'row', data: { panel: String(panel.id) } }, button)
  return {
    root,
    place: ({ position: { y } }) => root.style.setProperty('--y', String(y + 1)),
    name(variables, isOpen) {
      text.textContent = fillText((panel as PanelJson).title ?? '', variables)
      button.setAttribute('aria-expanded', String(isOpen))
    },
  }
}
