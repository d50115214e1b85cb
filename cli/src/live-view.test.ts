import type { LiveFigures } from '@tributary/stack'
import { describe, expect, test } from 'vitest'
import { createLiveView } from './live-view.ts'

const figures: LiveFigures = {
  readingsPerSecond: 400.4,
  produced: 12_345,
  stored: 12_000,
  deadLettered: 7,
  shed: 0,
  inFlight: 338,
  p50Ms: 812.3,
  p99Ms: undefined,
  openAlerts: 1,
  down: [],
}
const screen = (isTTY: boolean) => {
  const written: string[] = []
  return { written, isTTY, write: (text: string) => written.push(text) }
}

describe('live view', () => {
  test('on a terminal it redraws in place and keeps the newest events below', () => {
    const out = screen(true)
    const view = createLiveView(out)
    view.show(figures)
    view.event('alert firing tank-1')
    view.show(figures)
    expect(out.written[0]?.startsWith('\x1b[')).toBe(false)
    expect(out.written[1]?.startsWith('\x1b[3A')).toBe(true)
    expect(out.written[1]).toContain('alert firing tank-1')
    expect(out.written[1]).toContain('12,345')
  })
  test('elsewhere it writes a plain line every fifth time, without control characters', () => {
    const out = screen(false)
    const view = createLiveView(out)
    for (let i = 0; i < 6; i++) view.show(figures)
    expect(out.written).toHaveLength(2)
    expect(out.written[0]).toBe(
      '400 readings/s, produced 12,345, stored 12,000, dead-lettered 7, shed 0, in flight 338, p50 812 ms, p99 –, open alerts 1\n',
    )
  })
  test('a process that is not running is named', () => {
    const out = screen(false)
    createLiveView(out).show({ ...figures, down: ['influxd'] })
    expect(out.written[0]).toContain('NOT RUNNING: influxd')
  })
})
