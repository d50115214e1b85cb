import { expect, test } from 'vitest'
import { alertsOf } from './alert-list.ts'
import { alertStory, watchedContract } from './alert-story.ts'
import { contextOf } from './testing.ts'

const watched = watchedContract()
/** What a server of NATS takes by default. */
const PAYLOAD_BYTES_MAX = 1024 * 1024

test('what is open, silenced and was noticed fits into one message, however much it is; the rest is counted', () => {
  const context = contextOf([watched], { receivers: Array.from({ length: 32 }, (_, i) => `${i}`.padEnd(60, 'x')) })
  const s = alertStory(context)
  for (let i = 0; i < 1_000; i++) {
    const device = Array.from({ length: 20 }, (_, d) => `${d}-${i}`.padEnd(60, 'd'))
    const asked = { action: 'silence' as const, match: { device }, forMs: 60_000, comment: 'ü'.repeat(500) }
    expect(s.ask(1, { ...asked, id: i.toString(16).padStart(8, '0') })).toBe('done')
  }
  for (const site of ['plant', 'yard', 'hall'])
    s.give(
      'pi-1',
      2,
      Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`${i}`.padEnd(60, 'p'), [[1, 12]] as const])),
      { site },
    )
  const found = alertsOf('processor-1', 12, s.state, context.engine)
  expect(Buffer.byteLength(JSON.stringify(found))).toBeLessThan(PAYLOAD_BYTES_MAX)
  expect(found.alerts.length + found.more).toBe(600)
  expect(found.silences.length + found.moreSilences).toBe(1_000)
  expect(Math.min(found.alerts.length, found.silences.length, found.anomalies.length)).toBeGreaterThan(50)
  expect(found.anomalies.at(-1)).toMatchObject({ site: 'hall' })
})
