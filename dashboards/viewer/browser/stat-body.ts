import { textColourOn } from '../../src/rendering/colour-scales.ts'
import { colourOf } from '../../src/rendering/colours.ts'
import { shown, valueColour } from '../../src/rendering/field-config.ts'
import type { Series } from '../../src/rendering/frames.ts'
import { type SingleValue, singleValues } from '../../src/rendering/panel-data.ts'
import { anchor, element, svg } from './dom.ts'
import { filledLinks, type PanelBody, type PanelInput } from './panel-body.ts'

const SPARK_WIDTH = 200
const SPARK_HEIGHT = 40
const TILES_MAX = 40

/** Values in large, a tile a series; with a line of what each was before, if the panel asks for one. */
export function statBody(container: HTMLElement): PanelBody {
  const root = element('div', { className: 'stats' })
  container.append(root)
  return {
    draw(input) {
      const { orientation = 'auto' } = (input.panel.options ?? {}) as { orientation?: string }
      const values = singleValues(input.panel, input.answers)
      const defaults = input.panel.fieldConfig?.defaults ?? {}
      const empty: SingleValue = {
        series: { name: '', refId: '', labels: {}, timesMs: [], values: [], settings: defaults },
        value: null,
        settings: defaults,
        span: [0, 1],
      }
      root.classList.toggle('beneath', orientation === 'horizontal')
      const shownValues = values.length > 0 ? values.slice(0, TILES_MAX) : [empty]
      root.replaceChildren(...shownValues.map((value) => tile(value, input, shownValues.length > 1)))
      return values.some(({ value }) => value !== null) || defaults.noValue !== undefined
    },
    destroy: () => root.remove(),
  }
}

function tile({ series, value, settings, span }: SingleValue, input: PanelInput, isOneOfMany: boolean): HTMLElement {
  const { graphMode, colorMode = 'value', textMode = 'auto' } = input.panel.options ?? {}
  const { theme, nowMs } = input
  const { text, suffix } = shown(value, settings, nowMs)
  const own = valueColour(value, settings, theme, span)
  const isNamed = textMode === 'value_and_name' || (textMode === 'auto' && isOneOfMany)
  const number = element('strong', {}, text, suffix !== '' && element('small', {}, suffix))
  const about = { series, value: { raw: value, text: text + suffix } }
  const [link] = filledLinks(settings.links, input, about)
  const content = element(
    'div',
    { className: 'words' },
    isNamed && element('span', { className: 'name' }, series.name),
    number,
  )
  const root = link ? anchor(link, content) : element('div', {}, content)
  root.className = 'tile'
  if (colorMode === 'background' && own) {
    root.style.background = own
    root.style.color = textColourOn(own)
  } else number.style.color = colorMode === 'none' ? '' : (own ?? colourOf('text', theme))
  if (graphMode === 'area' && series.values.length > 1)
    root.append(
      sparkline(series, colorMode === 'background' ? 'currentColor' : (own ?? colourOf('text', theme)), input),
    )
  return root
}

function sparkline({ timesMs, values }: Series, colour: string, { range }: PanelInput): SVGElement {
  const numbers = values.filter((v): v is number => typeof v === 'number')
  const low = Math.min(0, ...numbers)
  const high = Math.max(...numbers, low + 1e-9)
  const points = values.flatMap((value, i) => {
    if (typeof value !== 'number') return []
    const x = (((timesMs[i] as number) - range.fromMs) / (range.toMs - range.fromMs)) * SPARK_WIDTH
    const y = SPARK_HEIGHT - 2 - ((value - low) / (high - low)) * (SPARK_HEIGHT - 6)
    return [`${x.toFixed(1)},${y.toFixed(1)}`]
  })
  const first = points[0]?.split(',')[0] ?? '0'
  const last = points.at(-1)?.split(',')[0] ?? '0'
  return svg(
    'svg',
    {
      viewBox: `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`,
      preserveAspectRatio: 'none',
      class: 'spark',
      'aria-hidden': 'true',
    },
    svg('polygon', {
      points: `${first},${SPARK_HEIGHT} ${points.join(' ')} ${last},${SPARK_HEIGHT}`,
      fill: colour,
      opacity: '0.12',
    }),
    svg('polyline', {
      points: points.join(' '),
      fill: 'none',
      stroke: colour,
      'vector-effect': 'non-scaling-stroke',
      'stroke-width': '1.5',
    }),
  )
}
