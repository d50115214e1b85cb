/** How values are said to people. */
import type { SeriesContext } from './detector.ts'

type Said = Pick<SeriesContext, 'unit' | 'decimals'>

/** "7.9 mm/s", "61 %", "3". Trailing zeros stay: they say how finely was measured. */
export function sayValue(value: number, { unit, decimals }: Said): string {
  return unit === '' ? sayNumber(value, decimals) : `${sayNumber(value, decimals)} ${unit}`
}

export function sayNumber(value: number, decimals: number): string {
  const text = value.toFixed(decimals)
  return Number(text) === 0 && text.startsWith('-') ? text.slice(1) : text
}

/** "Bearing temperature: 87.8 °C": a sentence is read without its series beside it. */
export const sayReading = (value: number, series: Said & Pick<SeriesContext, 'label'>): string =>
  `${series.label}: ${sayValue(value, series)}`

/** "45 s", "10 min", "3 h 20 min", "2 d 4 h". */
export function sayDuration(durationMs: number): string {
  const seconds = Math.max(0, Math.round(durationMs / 1000))
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`
  return hours % 24 === 0 ? `${hours / 24} d` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/** "2026-01-31 14:03:20 UTC". */
export function sayTime(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}
