/** The names of a chart's rows on its left: at most a share of its width, shortened to that, and whole when pointed at. */
import type uPlot from 'uplot'
import type { Theme } from '../../src/rendering/colours.ts'
import { shortened } from '../../src/rendering/shortened.ts'
import { AXIS_FONT, mutedColour } from './chart-axes.ts'
import { element } from './dom.ts'

const WIDTH_SHARE_MAX = 0.33
const WIDTH_PX_MIN = 40
/** Between the names and what is left and right of them. */
const ROOM_PX = 16
const GAP_PX = 8
/** Of one name. */
const HEIGHT_PX_MIN = 13

export function rowAxis(names: readonly string[], theme: Theme, label = ''): uPlot.Axis {
  const textPxMax = (u: uPlot) => Math.max(WIDTH_PX_MIN, u.width * WIDTH_SHARE_MAX) - ROOM_PX
  return {
    font: AXIS_FONT,
    stroke: mutedColour(theme),
    grid: { show: false },
    ticks: { show: false },
    border: { show: false },
    gap: GAP_PX,
    ...(label ? { label, labelFont: AXIS_FONT, labelSize: 18, labelGap: 2 } : {}),
    splits: () => names.map((_, i) => names.length - i - 0.5),
    // As many names as there is room for: `space` is how many pixels `increment` rows have.
    values: (u, _, __, space, increment) => {
      const every = space > 0 ? Math.ceil((HEIGHT_PX_MIN * increment) / space) : names.length
      return names.map((name, i) =>
        (names.length - 1 - i) % every === 0 ? shortened(name, textPxMax(u), (text) => widthPx(u, text)) : '',
      )
    },
    size: (u, values) =>
      Math.max(WIDTH_PX_MIN, Math.ceil(Math.max(0, ...(values ?? []).map((text) => widthPx(u, text)))) + ROOM_PX),
  }
}

/** Once a chart is there: lays the whole names over those that are drawn. */
export function nameRows(chart: uPlot, names: readonly string[]): void {
  const axis = chart.root.querySelectorAll<HTMLElement>('.u-axis')[1]
  axis?.replaceChildren(
    ...names.map((title, i) => {
      const root = element('span', { title })
      root.style.top = `${(100 * i) / names.length}%`
      root.style.height = `${100 / names.length}%`
      return root
    }),
  )
}

function widthPx({ ctx }: uPlot, text: string): number {
  ctx.save()
  ctx.font = AXIS_FONT
  const { width } = ctx.measureText(text)
  ctx.restore()
  return width
}
