/** One dashboard: its variables, its panels in their places, and the rounds in which they are refreshed. */
import { type Address, formatAddress } from '../../src/rendering/address.ts'
import type { DashboardJson, VariableJson } from '../../src/rendering/dashboard-json.ts'
import { tagValuesOf } from '../../src/rendering/frames.ts'
import { fillQuery, type SelectedVariable } from '../../src/rendering/macros.ts'
import { durationMs, type RawRange, resolveRange, type TimeRange, zoomedOut } from '../../src/rendering/time-range.ts'
import { inOrder, ownOptions, queryOf, select } from '../../src/rendering/variables.ts'
import { fetchAnnotations } from './annotations.ts'
import type { BrowserClock } from './clock.ts'
import { element } from './dom.ts'
import { controls } from './header.ts'
import { type PanelView, panelView, type Round } from './panel-view.ts'
import { createRound } from './queries.ts'
import type { ThemeSwitch } from './theme.ts'

const DEFAULT_RANGE: RawRange = { from: 'now-15m', to: 'now' }

export interface DashboardView {
  readonly root: HTMLElement
  /** What the other dashboards' links keep: the time. */
  readonly range: RawRange | undefined
  start(): void
  redraw(): void
  destroy(): void
}

export function dashboardView(
  dashboard: DashboardJson,
  address: Address,
  { clock, theme, onAddress }: { clock: BrowserClock; theme: ThemeSwitch; onAddress: (address: string) => void },
): DashboardView {
  const fallback = dashboard.time ?? DEFAULT_RANGE
  let { range, refresh } = address
  const wanted: Record<string, readonly string[]> = { ...address.variables }
  const disabledAnnotations = new Set(
    (dashboard.annotations?.list ?? []).filter((a) => a.enable === false).map((a) => a.name),
  )
  let stopTimer: () => void = () => undefined
  let running = new AbortController()
  let destroyed = false

  const changed = () => {
    onAddress(formatAddress({ ...address, uid: dashboard.uid, range, refresh, variables: wanted }))
    void refreshAll()
  }
  const currentRange = (): TimeRange => resolveRange(range ?? fallback, clock.wallMs(), fallback)
  const bar = controls(dashboard, disabledAnnotations, theme, clock, {
    onRange(chosen) {
      range = chosen
      changed()
    },
    onZoomOut() {
      range = zoomedOut(currentRange(), clock.wallMs())
      changed()
    },
    onRefresh: () => void refreshAll(),
    onRefreshInterval(value) {
      refresh = value
      changed()
    },
    onVariable(name, values) {
      wanted[name] = values
      changed()
    },
    onAnnotation(name, enabled) {
      if (enabled) disabledAnnotations.delete(name)
      else disabledAnnotations.add(name)
      void refreshAll()
    },
  })
  const context = {
    syncKey: dashboard.uid,
    onZoom({ fromMs, toMs }: TimeRange) {
      range = { from: String(Math.round(fromMs)), to: String(Math.round(toMs)) }
      changed()
    },
  }
  const grid = element('main', { className: 'grid' })
  const inReadingOrder = [...(dashboard.panels ?? [])].sort(
    (a, b) => a.gridPos.y - b.gridPos.y || a.gridPos.x - b.gridPos.x,
  )
  const panels = new Map<Element, PanelView>()
  for (const panel of inReadingOrder) {
    const view = panelView(panel, context, clock)
    panels.set(view.root, view)
    grid.append(view.root)
  }
  const visible = new Set<PanelView>()
  /** Panels that have been drawn in the present round. */
  const fresh = new Set<PanelView>()
  let round: Round | undefined
  const bringUpToDate = async (view: PanelView) => {
    if (!round || fresh.has(view)) return
    fresh.add(view)
    await view.refresh(round)
  }
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const view = panels.get(target)
        if (!view) continue
        if (isIntersecting) visible.add(view)
        else visible.delete(view)
        if (isIntersecting) void bringUpToDate(view)
      }
    },
    { rootMargin: '150px' },
  )

  const refreshAll = async () => {
    stopTimer()
    running.abort()
    running = new AbortController()
    const { signal } = running
    const rawRange = range ?? fallback
    bar.time.show(rawRange)
    bar.setRefresh(refresh ?? dashboard.refresh ?? '')
    bar.setBusy(true)
    const nowMs = clock.wallMs()
    const time = resolveRange(rawRange, nowMs, fallback)
    const ask = createRound(signal)
    const query = { range: time, intervalMs: 1_000, variables: await selectAll(ask, time) }
    if (signal.aborted) return
    for (const variable of query.variables) bar.variables.get(variable.name)?.show(variable)
    const annotations = (dashboard.annotations?.list ?? []).filter((a) => !disabledAnnotations.has(a.name))
    round = {
      ask,
      signal,
      range: time,
      rawRange,
      nowMs,
      theme: theme.current,
      variables: query.variables,
      annotations: fetchAnnotations(annotations, ask, query).catch(() => []),
    }
    fresh.clear()
    await Promise.all([...visible].map(bringUpToDate))
    if (signal.aborted) return
    bar.setBusy(false)
    const everyMs = durationMs(refresh ?? dashboard.refresh ?? '')
    if (everyMs !== undefined && !destroyed)
      stopTimer = clock.after(Math.max(0, everyMs - (clock.wallMs() - nowMs)), () => {
        if (!document.hidden) void refreshAll()
      })
  }
  const selectAll = async (ask: Round['ask'], time: TimeRange): Promise<SelectedVariable[]> => {
    const selected: SelectedVariable[] = []
    for (const variable of inOrder(dashboard.templating?.list ?? [])) {
      const query = fillQuery(queryOf(variable), { range: time, intervalMs: 1_000, variables: selected })
      // A store that is down leaves the choice as it is; the panels say what is wrong.
      const options = ownOptions(variable) ?? (await ask(query).then(tagValuesOf, () => [])).sort()
      selected.push(select(variable, wantedOf(variable), options))
    }
    return selected
  }
  const wantedOf = ({ name }: VariableJson) => wanted[name] ?? []
  const onVisibility = () => {
    if (!document.hidden) void refreshAll()
  }
  return {
    root: element('div', { className: 'dashboard' }, bar.root, grid),
    get range() {
      return range
    },
    start() {
      document.addEventListener('visibilitychange', onVisibility)
      for (const root of panels.keys()) observer.observe(root)
      void refreshAll()
    },
    redraw() {
      for (const view of panels.values()) view.redraw(theme.current)
      if (round) round = { ...round, theme: theme.current }
    },
    destroy() {
      destroyed = true
      stopTimer()
      running.abort()
      observer.disconnect()
      document.removeEventListener('visibilitychange', onVisibility)
      for (const view of panels.values()) view.destroy()
    },
  }
}
