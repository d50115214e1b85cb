/** The page: finds the dashboard that the address names, and follows links without loading anew. */
import { formatAddress, parseAddress } from '../../src/rendering/address.ts'
import { browserClock } from './clock.ts'
import { type DashboardView, dashboardView } from './dashboard-view.ts'
import { element } from './dom.ts'
import { topBar } from './header.ts'
import { type DashboardSummary, fetchDashboard, fetchDashboards } from './queries.ts'
import { createThemeSwitch } from './theme.ts'

const FONT_WAIT_MS_MAX = 1_000
const app = document.getElementById('app') as HTMLElement
const theme = createThemeSwitch(parseAddress(new URL(location.href)).theme, () => {
  bar.redraw()
  view?.redraw()
})
const bar = topBar(theme, (uid) =>
  formatAddress({ uid, range: undefined, refresh: undefined, variables: {}, theme: undefined, ...view?.kept }),
)
const place = element('div', { className: 'place' })
app.append(bar.root, place)

let view: DashboardView | undefined
let opening = 0

async function open(): Promise<void> {
  const ticket = ++opening
  const address = parseAddress(new URL(location.href))
  try {
    const dashboards = await fetchDashboards()
    const uid = address.uid || first(dashboards)
    if (!uid) throw new Error('There are no dashboards in the folder that the viewer was given.')
    const dashboard = await fetchDashboard(uid)
    if (ticket !== opening) return
    view?.destroy()
    document.title = `${dashboard.title} · Tributary`
    view = dashboardView(
      dashboard,
      { ...address, uid },
      {
        clock: browserClock,
        theme,
        onAddress(next) {
          history.pushState(null, '', next)
          bar.show(dashboards, dashboard)
        },
      },
    )
    bar.show(dashboards, dashboard)
    place.replaceChildren(view.root)
    view.start()
  } catch (error) {
    if (ticket !== opening) return
    view?.destroy()
    view = undefined
    const text = error instanceof Error ? error.message : String(error)
    place.replaceChildren(
      element(
        'div',
        { className: 'failure', role: 'alert' },
        element('p', {}, text),
        element('button', { type: 'button', className: 'primary', on: { click: () => void open() } }, 'Try again'),
      ),
    )
  }
}

const first = (dashboards: readonly DashboardSummary[]): string | undefined =>
  (dashboards.find((d) => d.uid === 'tributary-fleet') ?? dashboards[0])?.uid

/** Where the address leads: another time or choice of the same dashboard does not build it anew. */
function go(): void {
  const address = parseAddress(new URL(location.href))
  if (!view || address.uid !== view.uid) void open()
  else view.follow(address)
}
addEventListener('popstate', go)
document.addEventListener('click', (event) => {
  const link = (event.target as Element).closest('a')
  if (!link || event.defaultPrevented || event.button !== 0 || link.target === '_blank') return
  if (event.ctrlKey || event.metaKey || event.shiftKey || link.origin !== location.origin) return
  event.preventDefault()
  const before = location.pathname
  history.pushState(null, '', link.href)
  if (link.pathname !== before) scrollTo(0, 0)
  go()
})

// Charts draw their text on a canvas, which does not wait for fonts.
const fontWait = new Promise<void>((resolve) => {
  browserClock.after(FONT_WAIT_MS_MAX, resolve)
})
void Promise.race([document.fonts.load('12px "Inter Variable"').catch(() => undefined), fontWait]).then(open)
