/** A button that opens a small window below itself: arrow keys go through it, Escape or a click elsewhere closes it. */
import { element, icon } from './dom.ts'

const FOCUSABLE = 'input, button, select, a[href]'
/** What the window keeps from the edges of the page. */
const MARGIN_PX = 8

export interface Popover {
  readonly root: HTMLElement
  setLabel(text: string): void
  close(): void
}

/** @param options without a label the button is its lead alone; `fill` makes the content anew at each opening */
export function popover(options: {
  label?: string
  name: string
  lead?: Parameters<typeof icon>[0]
  fill: (close: () => void) => HTMLElement
}): Popover {
  const isIcon = options.label === undefined
  const nameWith = (label?: string) => (label === undefined ? options.name : `${options.name}: ${label}`)
  const text = element('span', { className: 'label' }, options.label)
  const button = element(
    'button',
    {
      type: 'button',
      className: isIcon ? 'quiet' : 'control',
      title: isIcon ? options.name : '',
      aria: { haspopup: 'dialog', expanded: 'false', label: nameWith(options.label) },
      on: { click: () => (opened ? close() : open()) },
    },
    options.lead && icon(options.lead),
    !isIcon && text,
    !isIcon && icon('chevron'),
  )
  const root = element('div', { className: 'popover' }, button)
  let opened: HTMLElement | undefined

  const onPointer = (event: Event) => {
    if (!root.contains(event.target as Node)) close(false)
  }
  const onKey = (event: KeyboardEvent) => {
    if (event.key === 'Escape') {
      event.stopPropagation()
      close()
    } else if (opened && moveFocus(opened, event)) event.preventDefault()
  }
  const close = (refocus = true) => {
    if (!opened) return
    opened.remove()
    opened = undefined
    button.setAttribute('aria-expanded', 'false')
    document.removeEventListener('pointerdown', onPointer)
    root.removeEventListener('keydown', onKey)
    if (refocus) button.focus()
  }
  const open = () => {
    opened = element(
      'div',
      { className: 'window', role: 'dialog', aria: { label: options.name } },
      options.fill(() => close()),
    )
    root.append(opened)
    // Kept inside the window of the browser.
    const { left, right, width } = opened.getBoundingClientRect()
    if (right > document.documentElement.clientWidth - MARGIN_PX)
      opened.style.left = `${-Math.min(left - MARGIN_PX, width - root.offsetWidth)}px`
    button.setAttribute('aria-expanded', 'true')
    document.addEventListener('pointerdown', onPointer)
    root.addEventListener('keydown', onKey)
    opened.querySelector<HTMLElement>(FOCUSABLE)?.focus()
  }
  return {
    root,
    setLabel(label) {
      text.textContent = label
      button.setAttribute('aria-label', nameWith(label))
    },
    close: () => close(false),
  }
}

/** Up and down, first and last; Enter chooses a box as Space does. @returns whether the key meant something here */
function moveFocus(window: HTMLElement, { key, target }: KeyboardEvent): boolean {
  const all = [...window.querySelectorAll<HTMLElement>(FOCUSABLE)]
  const at = all.indexOf(target as HTMLElement)
  const isBox = target instanceof HTMLInputElement && ['checkbox', 'radio'].includes(target.type)
  const isText = target instanceof HTMLInputElement && !isBox
  if (key === 'Enter' && isBox) {
    target.click()
    return true
  }
  if (isText && (key === 'Home' || key === 'End')) return false
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[key]
  if (next === undefined) return false
  all[(next + all.length) % all.length]?.focus()
  return true
}
