/** The bars on top: which dashboard, which devices, which time. */
import { colourOf } from '../../src/rendering/colours.ts'
import type { AnnotationJson, DashboardJson, VariableJson } from '../../src/rendering/dashboard-json.ts'
import { dashboardLinkUrl, entryOf, isSafeUrl } from '../../src/rendering/links.ts'
import type { SelectedVariable } from '../../src/rendering/macros.ts'
import type { RawRange } from '../../src/rendering/time-range.ts'
import { isTextbox, optionName } from '../../src/rendering/variables.ts'
import type { BrowserClock } from './clock.ts'
import { anchor, element, icon, swatch } from './dom.ts'
import { popover } from './popover.ts'
import type { DashboardSummary } from './queries.ts'
import type { ThemeSwitch } from './theme.ts'
import { type TimePicker, timePicker } from './time-picker.ts'
import { type VariablePicker, variablePicker } from './variable-picker.ts'
import { variableText } from './variable-text.ts'

export interface Controls {
  readonly root: HTMLElement
  readonly time: TimePicker
  showVariables(variables: readonly SelectedVariable[], rawRange: RawRange): void
  setRefresh(value: string): void
  setBusy(busy: boolean): void
}

export interface ControlEvents {
  onRange(range: RawRange): void
  onZoomOut(): void
  onRefresh(): void
  onRefreshInterval(value: string): void
  onVariable(name: string, values: readonly string[]): void
  onAnnotation(name: string, enabled: boolean): void
}

const GROUPS: readonly (readonly [tag: string, label: string])[] = [
  ['overview', 'Overview'],
  ['devices', 'Devices'],
  ['health', 'Health'],
]

export interface TopBar {
  readonly root: HTMLElement
  show(dashboards: readonly DashboardSummary[], current: Pick<DashboardJson, 'uid' | 'links'>): void
  /** After the theme changed. */
  redraw(): void
}

export function topBar(theme: ThemeSwitch, addressOf: (uid: string) => string): TopBar {
  const nav = element('nav', { aria: { label: 'Dashboards' } })
  const button = element('button', { type: 'button', className: 'control square' })
  const drawButton = () => {
    const other = theme.current === 'dark' ? 'light' : 'dark'
    button.replaceChildren(icon(other === 'light' ? 'sun' : 'moon'))
    button.title = `Switch to the ${other} theme`
    button.setAttribute('aria-label', button.title)
  }
  button.addEventListener('click', () => theme.toggle())
  drawButton()
  return {
    redraw: drawButton,
    root: element(
      'header',
      { className: 'top' },
      element('a', { className: 'brand', href: '/' }, icon('river'), element('span', {}, 'Tributary')),
      nav,
      button,
    ),
    show(dashboards, current) {
      const isInMenu = ({ tags }: DashboardSummary) => GROUPS.some(([tag]) => tags.includes(tag))
      const entry = entryOf(
        current,
        dashboards.filter(isInMenu).map(({ uid }) => uid),
      )
      const groups = GROUPS.map(([tag, label]) => {
        const links = dashboards
          .filter((d) => d.tags.includes(tag))
          .map((d) => {
            const link = element('a', { href: addressOf(d.uid), title: d.description }, d.title)
            if (d.uid === entry) link.setAttribute('aria-current', entry === current.uid ? 'page' : 'true')
            return link
          })
        return element('div', { className: 'group', role: 'group', aria: { label } }, ...links)
      })
      nav.replaceChildren(...groups.filter((group) => group.childElementCount > 0))
      nav.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' })
    },
  }
}

export function controls(
  dashboard: DashboardJson,
  disabledAnnotations: ReadonlySet<string>,
  theme: ThemeSwitch,
  clock: BrowserClock,
  events: ControlEvents,
): Controls {
  const variables = new Map(
    (dashboard.templating?.list ?? [])
      .filter(({ hide }) => hide !== 2)
      .map((variable) => [variable.name, pickerOf(variable, (values) => events.onVariable(variable.name, values))]),
  )
  const links = element('span', { className: 'dashboard-links' })
  const time = timePicker(clock, (range) => events.onRange(range))
  const select = element(
    'select',
    { aria: { label: 'Refresh every' }, on: { change: () => events.onRefreshInterval(select.value) } },
    ...['', ...(dashboard.timepicker?.refresh_intervals ?? ['5s', '30s', '1m'])].map((value) =>
      element('option', { value }, value === '' ? 'Off' : value),
    ),
  )
  const refresh = element(
    'button',
    {
      type: 'button',
      className: 'control square refresh',
      title: 'Refresh now',
      aria: { label: 'Refresh now' },
      on: { click: () => events.onRefresh() },
    },
    icon('refresh'),
  )
  const zoomOut = element(
    'button',
    {
      type: 'button',
      className: 'control square',
      title: 'Zoom out',
      aria: { label: 'Zoom out' },
      on: { click: () => events.onZoomOut() },
    },
    icon('zoomOut'),
  )
  const annotations = (dashboard.annotations?.list ?? []).filter(({ hide }) => !hide)
  const root = element(
    'div',
    { className: 'controls' },
    element('h1', { title: dashboard.description ?? '' }, dashboard.title),
    ...[...variables.values()].map((picker) => picker.root),
    annotations.length > 0 && annotationPicker(annotations, disabledAnnotations, theme, events),
    links,
    element('div', { className: 'space' }),
    element('div', { className: 'joined' }, time.root, zoomOut),
    element('div', { className: 'joined' }, refresh, select),
  )
  return {
    root,
    time,
    showVariables(selected, rawRange) {
      for (const variable of selected) variables.get(variable.name)?.show(variable)
      const own = (dashboard.links ?? []).filter(({ type }) => type === 'link')
      const filled = own.map((link) => ({
        title: link.title,
        href: dashboardLinkUrl(link, { rawRange, variables: selected }),
        isNewPage: link.targetBlank ?? false,
      }))
      const drawn = [...links.children].map((child) => child.getAttribute('href'))
      const safe = filled.filter(({ href }) => isSafeUrl(href))
      if (drawn.length === safe.length && safe.every(({ href }, i) => href === drawn[i])) return
      links.replaceChildren(...safe.map((link) => anchor(link, icon('link'), link.title)))
    },
    setRefresh(value) {
      if (![...select.options].some((option) => option.value === value))
        select.append(element('option', { value }, value))
      select.value = value
    },
    setBusy: (busy) => refresh.classList.toggle('busy', busy),
  }
}

function pickerOf(variable: VariableJson, onChange: (values: readonly string[]) => void): VariablePicker {
  const label = variable.label || variable.name
  const picker = isTextbox(variable)
    ? variableText(label, onChange)
    : variablePicker(
        label,
        {
          nameOf: (value) => optionName(variable, value),
          isMulti: variable.multi ?? false,
          hasAll: variable.includeAll ?? false,
        },
        onChange,
      )
  if (variable.description) picker.root.title = variable.description
  picker.root.classList.toggle('unlabelled', variable.hide === 1)
  return picker
}

function annotationPicker(
  annotations: readonly AnnotationJson[],
  disabled: ReadonlySet<string>,
  theme: ThemeSwitch,
  events: ControlEvents,
): HTMLElement {
  return popover({
    label: 'Events',
    name: 'Events shown in the charts',
    lead: 'flag',
    fill: () =>
      element(
        'div',
        { className: 'choices' },
        ...annotations.map(({ name, iconColor }) => {
          const dot = swatch(colourOf(iconColor, theme.current), 'dot')
          const box = element('input', {
            type: 'checkbox',
            checked: !disabled.has(name),
            on: { change: () => events.onAnnotation(name, box.checked) },
          })
          return element('label', { className: 'choice' }, box, dot, element('span', {}, name))
        }),
      ),
  }).root
}
