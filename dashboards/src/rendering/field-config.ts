/** What a field looks like after defaults and overrides: text, colour, links. */
import type { FieldConfigJson, FieldSettings, ThresholdStep } from './dashboard-json.ts'
import type { Value } from './frames.ts'
import { formatValue } from './units.ts'

/** Property of an override → where it goes. */
const PROPERTIES: Readonly<Record<string, (settings: FieldSettings, value: never) => FieldSettings>> = {
  unit: (s, unit: string) => ({ ...s, unit }),
  decimals: (s, decimals: number) => ({ ...s, decimals }),
  noValue: (s, noValue: string) => ({ ...s, noValue }),
  mappings: (s, mappings: NonNullable<FieldSettings['mappings']>) => ({ ...s, mappings }),
  thresholds: (s, thresholds: NonNullable<FieldSettings['thresholds']>) => ({ ...s, thresholds }),
  color: (s, color: NonNullable<FieldSettings['color']>) => ({ ...s, color }),
  links: (s, links: NonNullable<FieldSettings['links']>) => ({ ...s, links }),
  'custom.displayMode': (s, displayMode: string) => ({ ...s, custom: { ...s.custom, displayMode } }),
  'custom.width': (s, width: number) => ({ ...s, custom: { ...s.custom, width } }),
}
export const isKnownProperty = (id: string): boolean => id in PROPERTIES
export const isKnownMatcher = (id: string): boolean => id === 'byName'

export function settingsOf(config: FieldConfigJson | undefined, names: readonly string[]): FieldSettings {
  const matching = (config?.overrides ?? []).filter(
    ({ matcher }) => matcher.id === 'byName' && names.includes(String(matcher.options)),
  )
  return matching
    .flatMap((override) => override.properties)
    .reduce<FieldSettings>(
      (settings, { id, value }) => PROPERTIES[id]?.(settings, value as never) ?? settings,
      config?.defaults ?? {},
    )
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
  /** A colour name of Grafana's; undefined for plain text. */
  readonly colour: string | undefined
}

export function shown(value: Value | undefined, settings: FieldSettings, nowMs: number): Shown {
  if (value === null || value === undefined) return { text: settings.noValue ?? '–', suffix: '', colour: undefined }
  const mapped = settings.mappings?.find((m) => m.type === 'value')?.options[String(value)]
  const byThreshold =
    typeof value === 'number' && settings.color?.mode === 'thresholds'
      ? thresholdColour(settings.thresholds?.steps ?? [], value)
      : undefined
  const colour = mapped?.color ?? byThreshold
  if (mapped?.text !== undefined) return { text: mapped.text, suffix: '', colour }
  if (typeof value !== 'number') return { text: String(value), suffix: '', colour }
  return { ...formatValue(value, settings.unit, settings.decimals, nowMs), colour }
}
