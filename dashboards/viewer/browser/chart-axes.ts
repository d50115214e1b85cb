/** Axes of a chart: local times, values with their unit. */
import type uPlot from 'uplot'
import { colourOf, faded, type Theme } from '../../src/rendering/colours.ts'
import type { FieldSettings } from '../../src/rendering/dashboard-json.ts'
import { formatValue } from '../../src/rendering/units.ts'

export const AXIS_FONT = '11px "Inter Variable", system-ui, sans-serif'
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
/** Steps between the labels of an axis of bytes. */
const POWERS_OF_TWO = Array.from({ length: 50 }, (_, i) => 2 ** i)
const two = (value: number) => String(value).padStart(2, '0')

export const gridColour = (theme: Theme): string => (theme === 'dark' ? 'rgba(255,255,255,.06)' : 'rgba(16,24,40,.07)')
export const mutedColour = (theme: Theme): string => (theme === 'dark' ? '#8b94a3' : '#667085')

export function timeAxis(theme: Theme): uPlot.Axis {
  return {
    ...look(theme),
    size: 26,
    space: 84,
    values: (_, splits, __, ___, incrementMs) =>
      splits.map((timeMs) => {
        const t = new Date(timeMs)
        const midnight = t.getHours() === 0 && t.getMinutes() === 0 && t.getSeconds() === 0
        if (incrementMs >= 86_400_000 || midnight) return `${MONTHS[t.getMonth()]} ${t.getDate()}`
        const clock = `${two(t.getHours())}:${two(t.getMinutes())}`
        return incrementMs < 60_000 ? `${clock}:${two(t.getSeconds())}` : clock
      }),
  }
}

export function valueAxis(settings: FieldSettings, theme: Theme, scale: string): uPlot.Axis {
  const label = settings.custom?.axisLabel
  return {
    ...look(theme),
    scale,
    ...(label ? { label, labelFont: AXIS_FONT, labelSize: 18, labelGap: 2 } : {}),
    space: 24,
    ...(settings.unit === 'bytes' ? { incrs: POWERS_OF_TWO } : {}),
    size: (_, values) => Math.max(36, Math.max(0, ...(values ?? []).map((v) => v?.length ?? 0)) * 6.3 + 16),
    values: (_, splits, __, ___, increment) => {
      const decimals = decimalsOf(increment)
      const plainSuffix = formatValue(0, settings.unit, decimals, 0).suffix
      return splits.map((value) => {
        const plain = formatValue(value, settings.unit, decimals, 0)
        // 90 s become 1.5 min: in another scale the increment's decimals mean nothing.
        const { text, suffix } = plain.suffix === plainSuffix ? plain : formatValue(value, settings.unit, undefined, 0)
        return text + suffix
      })
    },
  }
}

const DECIMALS_MAX = 6

/** As many as tell one label from the next: 2 of 0.25, 1 of 2.5, none of 10. */
function decimalsOf(increment: number): number {
  let decimals = 0
  while (decimals < DECIMALS_MAX && Math.abs(increment - Number(increment.toFixed(decimals))) > increment * 1e-6)
    decimals++
  return decimals
}

const look = (theme: Theme): uPlot.Axis => ({
  font: AXIS_FONT,
  stroke: mutedColour(theme),
  gap: 6,
  grid: { stroke: gridColour(theme), width: 1 },
  ticks: { show: false },
  border: { show: false },
})

/** Room above and below the data; hard and soft limits respected. @param fromZero bars and stacks stand on zero */
export function valueRange(
  low: number | null,
  high: number | null,
  { min: hardMin, max: hardMax, custom = {} }: FieldSettings,
  fromZero: boolean,
): [number, number] {
  const { axisSoftMin = fromZero ? 0 : undefined, axisSoftMax = fromZero ? 0 : undefined } = custom
  const known = low !== null && high !== null
  const min = known ? Math.min(low, axisSoftMin ?? low) : (axisSoftMin ?? 0)
  const max = known ? Math.max(high, axisSoftMax ?? high) : Math.max(axisSoftMax ?? 0, min + 1)
  const room = known ? (max - min) * 0.08 || Math.abs(max) * 0.02 || 1 : 0
  // What cannot be negative gets no room below zero.
  const bottom = min === axisSoftMin ? min : min >= 0 ? Math.max(0, min - room) : min - room
  const top = max === axisSoftMax && max > bottom ? max : max + room
  const ends: [number, number] = [hardMin ?? bottom, hardMax ?? top]
  return ends[1] > ends[0] ? ends : [ends[0], ends[0] + 1]
}

/** Bands and dashed lines of the thresholds, behind the data. */
export function drawThresholds(
  chart: uPlot,
  { thresholds, custom }: FieldSettings,
  theme: Theme,
  scaleKey: string,
): void {
  const steps = thresholds?.steps ?? []
  const mode = custom?.thresholdsStyle?.mode ?? 'off'
  if (mode === 'off' || steps.length < 2) return
  const { ctx, bbox } = chart
  const scale = chart.scales[scaleKey]
  if (typeof scale?.min !== 'number' || typeof scale.max !== 'number') return
  const { min, max } = scale
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
  ctx.clip()
  const y = (value: number) => chart.valToPos(Math.min(max, Math.max(min, value)), scaleKey, true)
  steps.forEach((step, i) => {
    const from = step.value ?? min
    const to = steps[i + 1]?.value ?? max
    const colour = colourOf(step.color, theme)
    if (mode.includes('area') && colour !== 'transparent' && to > min && from < max) {
      ctx.fillStyle = faded(colour, theme === 'dark' ? 0.1 : 0.08)
      ctx.fillRect(bbox.left, y(to), bbox.width, y(from) - y(to))
    }
    // The line belongs to the edge, and the edge to the worse side of it.
    const edge = step.value
    const before = steps[i - 1]
    if (mode === 'area' || edge === null || !before || edge <= min || edge >= max) return
    const line = colour === 'transparent' ? colourOf(before.color, theme) : colour
    ctx.strokeStyle = faded(line, 0.7)
    ctx.lineWidth = devicePixelRatio
    if (mode.startsWith('dashed')) ctx.setLineDash([5 * devicePixelRatio, 5 * devicePixelRatio])
    ctx.beginPath()
    ctx.moveTo(bbox.left, Math.round(y(edge)) + 0.5)
    ctx.lineTo(bbox.left + bbox.width, Math.round(y(edge)) + 0.5)
    ctx.stroke()
  })
  ctx.restore()
}
