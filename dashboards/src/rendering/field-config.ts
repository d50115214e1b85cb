/** What a field looks like after defaults and overrides: name, text, colour. */
import { continuousColour, isContinuousMode } from './colour-scales.ts'
import { colourOf, type Theme } from './colours.ts'
import type { FieldConfigJson, FieldSettings, ThresholdStep } from './dashboard-json.ts'
import type { Series, Value } from './frames.ts'
import { formatValue } from './units.ts'
import { mappingOf } from './value-mappings.ts'

/** What an override may ask for: `names` are the field's own and the one that is shown. */
export interface FieldIdentity {
  readonly names: readonly string[]
  readonly refId?: string
}

const MATCHERS: Readonly<Record<string, (field: FieldIdentity, options: unknown) => boolean>> = {
  byName: ({ names }, options) => names.includes(String(options)),
  byRegexp: ({ names }, options) => names.some((name) => patternOf(String(options)).test(name)),
  byFrameRefID: ({ refId }, options) => refId === options,
}
export const isKnownMatcher = (id: string): boolean => Object.hasOwn(MATCHERS, id)

/** `/…/flags` is searched for; anything else must be the whole name. */
export function patternOf(text: string): RegExp {
  const [, body, flags = ''] = /^\/(.*)\/([gimy]*)$/s.exec(text) ?? []
  return body === undefined ? new RegExp(`^${text}$`) : new RegExp(body, flags.replace(/[gy]/g, ''))
}

/** The defaults with the properties of each override that matches, later ones last. */
export function settingsOf(config: FieldConfigJson | undefined, names: readonly string[], refId = ''): FieldSettings {
  return (config?.overrides ?? [])
    .filter(({ matcher }) => MATCHERS[matcher.id]?.({ names, refId }, matcher.options))
    .flatMap((override) => override.properties)
    .reduce<FieldSettings>(
      (settings, { id, value }) =>
        id.startsWith('custom.')
          ? { ...settings, custom: { ...settings.custom, [id.slice(7)]: value } }
          : { ...settings, [id]: value },
      config?.defaults ?? {},
    )
}

/** The name that is shown: `displayName` with `${__field.labels.device}` and the like filled in. */
export function nameOf({ name, labels }: Pick<Series, 'name' | 'labels'>, { displayName }: FieldSettings): string {
  if (!displayName) return name
  return displayName.replace(/\$\{__(?:field|series)\.(?:labels\.(\w+)|(name))\}/g, (_, label) =>
    label === undefined ? name : (labels[label] ?? ''),
  )
}

export interface NamedSeries extends Series {
  readonly settings: FieldSettings
}

/** Series with their settings, under the names that are shown. */
export function named(series: readonly Series[], config: FieldConfigJson | undefined): NamedSeries[] {
  return series.map((one) => {
    const settings = settingsOf(config, [one.name], one.refId)
    return { ...one, name: nameOf(one, settings), settings }
  })
}

/** Colour of the highest step that the value reaches. */
export function thresholdColour(steps: readonly ThresholdStep[], value: number): string | undefined {
  return steps.reduce<string | undefined>(
    (colour, step) => (step.value === null || value >= step.value ? step.color : colour),
    undefined,
  )
}

export interface Shown {
  readonly text: string
  readonly suffix: string
}

export function shown(value: Value | undefined, settings: FieldSettings, nowMs: number): Shown {
  const mapped = mappingOf(settings.mappings ?? [], value ?? null)
  if (mapped?.text !== undefined) return { text: mapped.text, suffix: '' }
  if (value === null || value === undefined) return { text: settings.noValue ?? '–', suffix: '' }
  if (typeof value !== 'number') return { text: String(value), suffix: '' }
  return formatValue(value, settings.unit, settings.decimals, nowMs)
}

/** From `min` (or the smallest number) to `max` (or the largest). */
export function spanOf({ min, max }: FieldSettings, values: readonly Value[]): readonly [low: number, high: number] {
  let low = min ?? Number.POSITIVE_INFINITY
  let high = max ?? Number.NEGATIVE_INFINITY
  for (const value of values)
    if (typeof value === 'number') {
      if (min === undefined && value < low) low = value
      if (max === undefined && value > high) high = value
    }
  return [Number.isFinite(low) ? low : 0, Number.isFinite(high) ? high : 1]
}

/** Where the value stands in a span, from 0 to 1. */
export const shareOf = (value: number, [low, high]: readonly [number, number]): number =>
  high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 1

/**
 * The colour that a value's mapping, threshold or place between the extremes gives it; undefined for plain text.
 * @param span for continuous colours
 */
export function valueColour(
  value: Value | undefined,
  settings: FieldSettings,
  theme: Theme,
  span: readonly [number, number] = spanOf(settings, []),
): string | undefined {
  const mapped = mappingOf(settings.mappings ?? [], value ?? null)?.color
  if (mapped) return colourOf(mapped, theme)
  if (typeof value !== 'number') return undefined
  const mode = settings.color?.mode ?? ''
  if (isContinuousMode(mode)) return continuousColour(mode, shareOf(value, span), theme)
  if (mode !== 'thresholds') return undefined
  const colour = thresholdColour(settings.thresholds?.steps ?? [], value)
  return colour && colourOf(colour, theme)
}
