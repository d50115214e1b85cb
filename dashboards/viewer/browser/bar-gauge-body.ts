import { colourOf, paletteColour } from '../../src/rendering/colours.ts'
import { shown, valueColour } from '../../src/rendering/field-config.ts'
import { type SingleValue, singleValues } from '../../src/rendering/panel-data.ts'
import { anchor, element } from './dom.ts'
import { type GaugeBar, gaugeBar } from './gauge-bar.ts'
import { filledLinks, type PanelBody, type PanelInput } from './panel-body.ts'

const BARS_MAX = 100

/** A bar a series, the name on its left (above it where there is little room) and the value on its right. */
export function barGaugeBody(container: HTMLElement): PanelBody {
  const root = element('div', { className: 'bars', tabIndex: 0, role: 'list' })
  container.append(root)
  return {
    draw(input) {
      const values = singleValues(input.panel, input.answers)
      root.setAttribute('aria-label', input.panel.title ?? 'Bars')
      root.replaceChildren(...values.slice(0, BARS_MAX).map((value, i) => bar(value, i, input)))
      if (values.length > BARS_MAX)
        root.append(element('p', { className: 'hint' }, `${values.length - BARS_MAX} more are not shown`))
      return values.some(({ value }) => value !== null)
    },
    destroy: () => root.remove(),
  }
}

function bar({ series, value, settings, span }: SingleValue, index: number, input: PanelInput): HTMLElement {
  const { displayMode = 'gradient', valueMode = 'color', showUnfilled = true } = input.panel.options ?? {}
  const { theme } = input
  const { color } = settings
  const { text, suffix } = shown(value, settings, input.nowMs)
  const fixed =
    color?.mode === 'fixed' && color.fixedColor ? colourOf(color.fixedColor, theme) : paletteColour(index, theme)
  const colour = valueColour(value, settings, theme, span) ?? fixed
  const number = element('b', {}, text + suffix)
  if (valueMode === 'color') number.style.color = colour
  const [link] = filledLinks(settings.links, input, { series, value: { raw: value, text: text + suffix } })
  return element(
    'div',
    { className: 'line', role: 'listitem' },
    element('span', { className: 'name', title: series.name }, link ? anchor(link, series.name) : series.name),
    gaugeBar({
      value: typeof value === 'number' ? value : span[0],
      span,
      settings,
      colour,
      theme,
      mode: displayMode as GaugeBar['mode'],
      showUnfilled,
    }),
    valueMode !== 'hidden' && number,
  )
}
