/** The panels in their places: those that are seen are kept up to date, the others when they come into sight. */
import type { Theme } from '../../src/rendering/colours.ts'
import type { DashboardJson, PanelJson } from '../../src/rendering/dashboard-json.ts'
import { unknownPanelFeatures } from '../../src/rendering/features.ts'
import { layout, type PlacedPanel } from '../../src/rendering/layout.ts'
import type { SelectedVariable } from '../../src/rendering/macros.ts'
import type { BrowserClock } from './clock.ts'
import { element } from './dom.ts'
import type { PanelContext } from './panel-body.ts'
import { type PanelView, panelView, type Round, rowView } from './panel-view.ts'

/** Panels this far below the window are drawn already. */
const MARGIN = '250px'

export interface PanelGrid {
  readonly root: HTMLElement
  /** Puts the panels where the variables want them. */
  arrange(variables: readonly SelectedVariable[]): void
  /** @returns when what is seen has been drawn */
  show(round: Round): Promise<void>
  redraw(theme: Theme): void
  destroy(): void
}

export function panelGrid(dashboard: DashboardJson, context: PanelContext, clock: BrowserClock): PanelGrid {
  const root = element('main', { className: 'grid' })
  const panels = new Map<string, PanelView>()
  const rows = new Map<string, ReturnType<typeof rowView>>()
  const toggledRows = new Set<number>()
  const lacking = new Map<PanelJson, readonly string[]>()
  const visible = new Set<PanelView>()
  /** Panels that show, or are about to show, what the present round has. */
  const fresh = new Set<PanelView>()
  /** What is being asked for a panel: ended with `gone`. */
  const asking = new Map<PanelView, { readonly gone: AbortController; readonly done: Promise<void> }>()
  let round: Round | undefined
  /** Until it is known which of the newest panels are seen. */
  let looked = Promise.resolve()
  let hasLooked: () => void = () => undefined
  let arranged: readonly SelectedVariable[] = []

  const bringUpToDate = async (view: PanelView): Promise<void> => {
    if (!round || fresh.has(view)) return asking.get(view)?.done
    fresh.add(view)
    const gone = new AbortController()
    const own = { gone, done: view.refresh(round, gone.signal).then((isDrawn) => settle(isDrawn)) }
    const settle = (isDrawn: boolean) => {
      if (asking.get(view) !== own) return
      asking.delete(view)
      if (!isDrawn) fresh.delete(view)
    }
    asking.set(view, own)
    await own.done
  }
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const view = viewOf(target)
        if (!view) continue
        if (isIntersecting) {
          visible.add(view)
          void bringUpToDate(view)
        } else {
          visible.delete(view)
          asking.get(view)?.gone.abort()
        }
      }
      hasLooked()
    },
    { rootMargin: MARGIN },
  )
  const viewOf = (target: Element) => [...panels.values()].find((view) => view.root === target)
  const remove = (key: string, view: PanelView) => {
    panels.delete(key)
    visible.delete(view)
    asking.get(view)?.gone.abort()
    observer.unobserve(view.root)
    view.destroy()
  }
  const lackingOf = (panel: PanelJson) => {
    const known = lacking.get(panel) ?? unknownPanelFeatures(panel, dashboard)
    lacking.set(panel, known)
    return known
  }
  const arrange = (variables: readonly SelectedVariable[]) => {
    arranged = variables
    const placed = layout(dashboard.panels ?? [], variables, toggledRows)
    const keys = new Set(placed.map(({ key }) => key))
    for (const [key, view] of panels) if (!keys.has(key)) remove(key, view)
    placed.forEach((one, i) => {
      const { key } = one
      const isRow = one.panel.type === 'row'
      let view: Pick<PanelView, 'root' | 'place'> | undefined
      if (isRow) {
        const row = rows.get(key) ?? rowView(one, toggle)
        rows.set(key, row)
        row.name(variables, one.isOpen ?? true)
        view = row
      } else {
        view = panels.get(key) ?? created(one)
      }
      view.place(one, variables)
      // In reading order, which is the order of the tab key; what stands right is not moved, as that would take its focus.
      if (root.children[i] !== view.root) root.insertBefore(view.root, root.children[i] ?? null)
    })
  }
  const created = (one: PlacedPanel): PanelView => {
    const view = panelView(one, context, clock, lackingOf(one.panel))
    panels.set(one.key, view)
    looked = new Promise((resolve) => {
      hasLooked = resolve
    })
    observer.observe(view.root)
    return view
  }
  const toggle = (id: number) => {
    if (!toggledRows.delete(id)) toggledRows.add(id)
    arrange(arranged)
  }
  return {
    root,
    arrange,
    async show(next) {
      round = next
      fresh.clear()
      asking.clear()
      await looked
      if (round !== next) return
      await Promise.all([...visible].map(bringUpToDate))
    },
    redraw(theme) {
      for (const view of panels.values()) view.redraw(theme)
      if (round) round = { ...round, theme }
    },
    destroy() {
      observer.disconnect()
      for (const view of panels.values()) view.destroy()
    },
  }
}
