import { colourOf } from '../../src/rendering/colours.ts'
import { settingsOf, shown } from '../../src/rendering/field-config.ts'
import { lastNotNull, type Series, timeSeriesOf } from '../../src/rendering/frames.ts'
import { element, svg } from './dom.ts'
import type { PanelBody, PanelInput } from './panel-body.ts'

const SPARK_WIDTH = 200
const SPARK_HEIGHT = 40

/** The newest value, large; with a line of what it was before, if the panel asks for one. */
export function statBody(container: HTMLElement): PanelBody {
  const root = element('div', { className: 'stat' })
  container.append(root)
  return {
    draw(input) {
      const { panel, answers } = input
      const series = (panel.targets ?? []).flatMap((target, i) =>
        answers[i] ? timeSeriesOf(answers[i], target.alias) : [],
      )
      const settings = settingsOf(panel.fieldConfig, series[0] ? [series[0].name] : [])
      const value = series[0] ? lastNotNull(series[0]) : null
      const { text, suffix, colour } = shown(value, settings, input.nowMs)
      const number = element('strong', {}, text, suffix !== '' && element('small', {}, suffix))
      number.style.color = colourOf(colour ?? 'text', input.theme)
      root.replaceChildren(number)
      root.classList.toggle('with-spark', panel.options?.graphMode === 'area')
      if (panel.options?.graphMode === 'area' && series[0])
        root.append(sparkline(series[0], colourOf(colour ?? 'text', input.theme), input))
      return value !== null || settings.noValue !== undefined
    },
    destroy: () => root.remove(),
  }
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
