/** A bar as long as its value is large: of bar gauges and of table cells. */
import { continuousColour, isContinuousMode } from '../../src/rendering/colour-scales.ts'
import { colourOf, type Theme } from '../../src/rendering/colours.ts'
import type { FieldSettings } from '../../src/rendering/dashboard-json.ts'
import { shareOf } from '../../src/rendering/field-config.ts'
import { element } from './dom.ts'

const GRADIENT_STOPS = 8

export interface GaugeBar {
  readonly value: number
  readonly span: readonly [low: number, high: number]
  readonly settings: FieldSettings
  readonly colour: string
  readonly theme: Theme
  /** `basic`: one colour; `gradient`: the colours up to the value; `lcd`: in pieces. */
  readonly mode: 'basic' | 'gradient' | 'lcd'
  readonly showUnfilled: boolean
}

export function gaugeBar({ value, span, settings, colour, theme, mode, showUnfilled }: GaugeBar): HTMLElement {
  const share = shareOf(value, span)
  const filled = element('i', { className: 'filled' })
  filled.style.width = `${(share * 100).toFixed(2)}%`
  filled.style.background = mode === 'gradient' ? gradient(settings, span, share, colour, theme) : colour
  const root = element('span', { className: `bar ${mode}`, aria: { hidden: 'true' } }, filled)
  root.classList.toggle('unfilled', showUnfilled)
  return root
}

/** The colours that values up to this one have, from left to right. */
function gradient(
  settings: FieldSettings,
  [low, high]: readonly [number, number],
  share: number,
  colour: string,
  theme: Theme,
): string {
  const mode = settings.color?.mode ?? ''
  if (isContinuousMode(mode)) {
    const stops = Array.from({ length: GRADIENT_STOPS + 1 }, (_, i) =>
      continuousColour(mode, (share * i) / GRADIENT_STOPS, theme),
    )
    return `linear-gradient(90deg, ${stops.join(', ')})`
  }
  const steps = mode === 'thresholds' ? (settings.thresholds?.steps ?? []) : []
  const reached = steps.filter(({ value }) => value === null || shareOf(value, [low, high]) <= share)
  if (reached.length < 2) return colour
  const at = (value: number | null) =>
    value === null ? 0 : (shareOf(value, [low, high]) / Math.max(share, 1e-9)) * 100
  const stops = reached.map(({ value, color }) => `${colourOf(color, theme)} ${at(value).toFixed(1)}%`)
  return `linear-gradient(90deg, ${stops.join(', ')})`
}
