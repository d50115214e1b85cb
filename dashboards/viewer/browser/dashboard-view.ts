/** One dashboard: its variables, its time, and the rounds in which its panels are refreshed. */
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
import { panelGrid } from './panel-grid.ts'
import { type Ask, createRound } from './queries.ts'
import type { ThemeSwitch } from './theme.ts'

const DEFAULT_RANGE: RawRange = { from: 'now-15m', to: 'now' }

export interface DashboardView {
  readonly root: HTMLElement
  readonly uid: string
  /** What links to the other dashboards keep: the time, and the variables if the dashboard wants them kept. */
  readonly kept: Pick<Address, 'range' | 'variables'>
  start(): void
  /** Goes where the address says, as the browser's back button does. */
  follow(address: Address): void
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
  let wanted: Record<string, readonly string[]> = { ...address.variables }
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
    syncKey: dashboard.graphTooltip === 0 ? undefined : dashboard.uid,
    onZoom({ fromMs, toMs }: TimeRange) {
      range = { from: String(Math.round(fromMs)), to: String(Math.round(toMs)) }
      changed()
    },
  }
  const grid = panelGrid(dashboard, context, clock)
  /** Where panels stand depends on what is selected. */
  const isRepeating = (dashboard.panels ?? []).some((p) => p.repeat || p.panels?.some((inner) => inner.repeat))

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
    const ask = createRound()
    const variables = await selectAll(ask, time, signal)
    if (signal.aborted) return
    bar.showVariables(variables, rawRange)
    grid.arrange(variables)
    const annotations = (dashboard.annotations?.list ?? []).filter((a) => !disabledAnnotations.has(a.name))
    const query = { range: time, intervalMs: 1_000, variables }
    await grid.show({
      ask,
      signal,
      range: time,
      rawRange,
      nowMs,
      theme: theme.current,
      variables,
      annotations: fetchAnnotations(annotations, (text) => ask(text, signal), query).catch(() => []),
    })
    if (signal.aborted) return
    bar.setBusy(false)
    const everyMs = durationMs(refresh ?? dashboard.refresh ?? '')
    if (everyMs !== undefined && !destroyed)
      stopTimer = clock.after(Math.max(0, everyMs - (clock.wallMs() - nowMs)), () => {
        if (!document.hidden) void refreshAll()
      })
  }
  /** One after the other only where one needs the other. */
  const selectAll = async (ask: Ask, time: TimeRange, signal: AbortSignal): Promise<SelectedVariable[]> => {
    const selected: SelectedVariable[] = []
    for (const variable of inOrder(dashboard.templating?.list ?? [])) {
      const query = fillQuery(queryOf(variable), { range: time, intervalMs: 1_000, variables: selected })
      // A store that is down leaves the choice as it is; the panels say what is wrong.
      const options = ownOptions(variable) ?? (await ask(query, signal).then(tagValuesOf, () => [])).sort()
      selected.push(select(variable, wantedOf(variable), options))
    }
    return selected
  }
  const wantedOf = ({ name }: VariableJson) => wanted[name] ?? []
  const onVisibility = () => {
    if (!document.hidden) void refreshAll()
  }
  return {
    root: element('div', { className: 'dashboard' }, bar.root, grid.root),
    uid: dashboard.uid,
    get kept() {
      const isKept = dashboard.links?.some((link) => link.type === 'dashboards' && link.includeVars) ?? false
      return { range, variables: isKept ? wanted : {} }
    },
    start() {
      document.addEventListener('visibilitychange', onVisibility)
      if (!isRepeating) grid.arrange([])
      void refreshAll()
    },
    follow(next) {
      range = next.range
      refresh = next.refresh
      wanted = { ...next.variables }
      void refreshAll()
    },
    redraw: () => grid.redraw(theme.current),
    destroy() {
      destroyed = true
      stopTimer()
      running.abort()
      document.removeEventListener('visibilitychange', onVisibility)
      grid.destroy()
    },
  }
}
