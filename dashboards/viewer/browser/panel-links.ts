/** Links of a panel, as Grafana has them: an icon beside its title. One: the icon is the link. Several: the icon opens them. */
import { anchor, element, icon } from './dom.ts'
import type { FilledLink } from './panel-body.ts'
import { type Popover, popover } from './popover.ts'

export interface PanelLinks {
  readonly root: HTMLElement
  /** Links that stay the same stay as they are, so that an open menu does. */
  offer(links: readonly FilledLink[]): void
}

export function panelLinks(): PanelLinks {
  const root = element('span', { className: 'links' })
  let offered = '[]'
  let menu: Popover | undefined
  return {
    root,
    offer(links) {
      const next = JSON.stringify(links)
      if (next === offered) return
      offered = next
      menu?.close()
      menu = links.length > 1 ? menuOf(links) : undefined
      root.replaceChildren(...(menu ? [menu.root] : links.map(iconOf)))
    },
  }
}

function iconOf(link: FilledLink): HTMLElement {
  const root = anchor(link, icon('link'))
  root.className = 'quiet'
  root.setAttribute('aria-label', link.title)
  return root
}

const menuOf = (links: readonly FilledLink[]): Popover =>
  popover({
    name: 'Links of this panel',
    lead: 'link',
    fill: (close) =>
      element(
        'div',
        { className: 'choices' },
        ...links.map((link) => {
          const root = anchor(link, link.title)
          root.className = 'choice'
          root.addEventListener('click', close)
          return root
        }),
      ),
  })
