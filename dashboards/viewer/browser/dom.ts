/** Elements in one expression. */
type Child = Node | string | undefined | false
type Properties<E extends HTMLElement> = Partial<Omit<E, 'style' | 'dataset' | 'children'>> & {
  readonly data?: Readonly<Record<string, string>>
  readonly aria?: Readonly<Record<string, string>>
  readonly on?: { readonly [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void }
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  { data = {}, aria = {}, on = {}, ...properties }: Properties<HTMLElementTagNameMap[K]> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const created = document.createElement(tag)
  Object.assign(created, properties)
  Object.assign(created.dataset, data)
  for (const [name, value] of Object.entries(aria)) created.setAttribute(`aria-${name}`, value)
  for (const [name, listener] of Object.entries(on)) created.addEventListener(name, listener as EventListener)
  created.append(...children.filter((child): child is Node | string => child !== undefined && child !== false))
  return created
}

/** What a colour stands for is beside it in words. */
export function swatch(colour: string, className = ''): HTMLElement {
  const mark = element('i', { className })
  mark.style.background = colour
  return mark
}

/** A link; what leads to another page opens there. */
export const anchor = (
  { href, title, isNewPage }: { readonly href: string; readonly title: string; readonly isNewPage: boolean },
  ...children: Child[]
): HTMLAnchorElement =>
  element('a', { href, title, ...(isNewPage ? { target: '_blank', rel: 'noopener' } : {}) }, ...children)

const SVG = 'http://www.w3.org/2000/svg'
export function svg(tag: string, attributes: Readonly<Record<string, string>>, ...children: Node[]): SVGElement {
  const created = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value)
  created.append(...children)
  return created
}

const ICONS = {
  chevron: 'M6 9l6 6 6-6',
  refresh: 'M20 11a8 8 0 1 0-2.3 6.3M20 5v6h-6',
  zoomOut: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4M8 11h6',
  clock: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3 2',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4',
  moon: 'M20 14.5A8.5 8.5 0 1 1 9.5 4 7 7 0 0 0 20 14.5z',
  flag: 'M5 21V4M5 4h11l-2 4 2 4H5',
  info: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5M12 8v.01',
  link: 'M14 4h6v6M20 4l-9 9M18 14v5a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1h5',
  warning: 'M12 4 2.5 20h19zM12 10v4M12 17v.01',
  river: 'M4 3c0 7 8 6 8 12v6M20 3c0 7-8 6-8 12M12 3v4',
} as const

export const icon = (name: keyof typeof ICONS): SVGElement =>
  svg('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' }, svg('path', { d: ICONS[name] }))
