import { describe, expect, it } from 'vitest'
import {
  intervalMs,
  intervalText,
  localTime,
  momentMs,
  parseLocalTime,
  rangeLabel,
  resolveRange,
  zoomedOut,
} from './time-range.ts'

const NOW = new Date(2026, 0, 31, 14, 5, 9).getTime()
const FALLBACK = { from: 'now-15m', to: 'now' }

describe('time ranges', () => {
  it.each([
    ['now', NOW],
    ['now-15m', NOW - 900_000],
    ['now+1h', NOW + 3_600_000],
    ['now-2d', NOW - 172_800_000],
    ['now/d', new Date(2026, 0, 31).getTime()],
    ['now-1d/d', new Date(2026, 0, 30).getTime()],
    ['1700000000000', 1_700_000_000_000],
    ['yesterday', undefined],
    ['now-', undefined],
    ['now-5', undefined],
  ])('%s', (text, expected) => expect(momentMs(text, NOW)).toBe(expected))

  it('falls back where an end cannot be read, and is never empty', () => {
    expect(resolveRange({ from: 'x', to: 'now' }, NOW, FALLBACK)).toEqual({ fromMs: NOW - 900_000, toMs: NOW })
    expect(resolveRange({ from: 'now', to: 'now-1h' }, NOW, FALLBACK)).toEqual({
      fromMs: NOW - 3_601_000,
      toMs: NOW - 3_600_000,
    })
  })

  it('reads what it writes', () => {
    expect(localTime(NOW)).toBe('2026-01-31 14:05:09')
    expect(parseLocalTime(localTime(NOW), NOW)).toBe(String(NOW))
    expect(parseLocalTime(' 2026-01-31 14:05 ', NOW)).toBe(String(NOW - 9_000))
    expect(parseLocalTime('now-2h', NOW)).toBe('now-2h')
    expect(parseLocalTime('noon', NOW)).toBeUndefined()
  })

  it('names a range as the list does, or by its ends', () => {
    expect(rangeLabel({ from: 'now-1h', to: 'now' })).toBe('Last 1 hour')
    expect(rangeLabel({ from: 'now-2m', to: 'now' })).toBe('Last 2 minutes')
    expect(rangeLabel({ from: String(NOW), to: 'now' })).toBe('2026-01-31 14:05:09 – now')
  })

  it('zooms out to twice the span, not into the future', () => {
    expect(zoomedOut({ fromMs: NOW - 1_000_000, toMs: NOW - 500_000 }, NOW)).toEqual({
      from: String(NOW - 1_250_000),
      to: String(NOW - 250_000),
    })
    expect(zoomedOut({ fromMs: NOW - 1_000, toMs: NOW }, NOW)).toEqual({ from: String(NOW - 2_000), to: String(NOW) })
  })
})

describe('$__interval', () => {
  it.each([
    [900_000, 900, 1_000, '1s'],
    [300_000, 900, 1_000, '1s'],
    [300_000, 900, 1, '200ms'],
    [3_600_000, 600, 1_000, '5s'],
    [21_600_000, 600, 1_000, '30s'],
    [86_400_000, 600, 1_000, '2m'],
    [2_592_000_000, 600, 1_000, '1h'],
    [60_000, 600, 10_000, '10s'],
  ])('%i ms over %i points, at least %i ms: %s', (spanMs, points, least, expected) => {
    expect(intervalText(intervalMs({ fromMs: 0, toMs: spanMs }, points, least))).toBe(expected)
  })
  it('is written in the largest unit that divides it', () => {
    expect([250, 1_500, 60_000, 90_000, 86_400_000].map(intervalText)).toEqual(['250ms', '1500ms', '1m', '90s', '1d'])
  })
})
