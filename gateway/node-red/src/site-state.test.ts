import { type Batch, contractSchema, type DeviceBlock, type FieldColumn } from '@tributary/protocol'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { describe, expect, test } from 'vitest'
import { createLastHour, MINUTES } from './last-hour.ts'
import { createSiteState, DEVICES_MAX } from './site-state.ts'

const boiler = contractSchema.parse({
  kind: 'boiler',
  version: 1,
  description: 'A boiler.',
  interval: '1s',
  fields: {
    temperature_c: { type: 'float', label: 'Temperature', unit: '°C' },
    burning: { type: 'boolean', label: 'Burning' },
    badge: { type: 'string', label: 'Badge', sensitivity: 'hash' },
  },
})
const contracts = new Map([['boiler', boiler]])
const MINUTE_MS = 60_000

const batch = (agent: string, ...blocks: DeviceBlock[]) => ({ header: { agent }, blocks }) as unknown as Batch
const block = (device: string, timesMs: number[], ...columns: FieldColumn[]): DeviceBlock => ({
  device,
  kind: 'boiler',
  timesMs: Float64Array.from(timesMs),
  columns,
})
const numbers = (field: string, values: number[], present: number[] | null = null): FieldColumn => ({
  field,
  type: 'number',
  values: Float64Array.from(values),
  present: present && Uint8Array.from(present),
})

describe('the present value', () => {
  test('is the last that is there, of the newest sample; late ones belong to the past', () => {
    const clock = createSimulatedClock()
    const site = createSiteState(contracts, { clock })
    site.take(batch('a', block('b-1', [1_000, 2_000, 3_000], numbers('temperature_c', [20, 21, 0], [1, 1, 0]))))
    site.take(batch('a', block('b-1', [500], numbers('temperature_c', [99]))))
    site.take(
      batch('a', block('b-1', [4_000], { field: 'burning', type: 'boolean', values: Uint8Array.of(1), present: null })),
    )
    const fields = site.devices.get('boiler/b-1')?.fields
    expect([...(fields ?? [])].map(([name, { value }]) => [name, value])).toEqual([
      ['temperature_c', 21],
      ['burning', true],
    ])
    expect(fields?.get('temperature_c')?.hour?.means(0).at(-1), 'the late one counts in its minute').toBe(
      (20 + 21 + 99) / 3,
    )
  })

  test('of a sensitive, an unknown or a wrongly typed field is kept nowhere', () => {
    const site = createSiteState(contracts, { clock: createSimulatedClock() })
    const secret: FieldColumn = { field: 'badge', type: 'string', values: ['4711'], present: null }
    site.take(batch('a', block('b-1', [1], secret, numbers('other', [1]), numbers('burning', [1]))))
    const [state] = site.devices.values()
    expect([...(state?.fields.values() ?? [])].map(({ field, value }) => [field, value])).toEqual([['burning', '']])
    expect(JSON.stringify([...(state?.fields ?? [])])).not.toContain('4711')
  })
})

test('devices beyond the limit are counted and not kept', () => {
  const site = createSiteState(contracts, { clock: createSimulatedClock() })
  for (let i = 0; i < DEVICES_MAX + 7; i++) site.take(batch('a', block(`b-${i}`, [1], numbers('temperature_c', [1]))))
  expect(site.devices.size).toBe(DEVICES_MAX)
  expect(site.beyond).toBe(7)
})

describe('the last hour', () => {
  test('is a mean a minute, with gaps, and forgets what is older', () => {
    const hour = createLastHour()
    for (let minute = 0; minute < 90; minute++)
      if (minute !== 80) for (const v of [0, 2]) hour.add(minute * MINUTE_MS + v, minute + v)
    const means = hour.means(89 * MINUTE_MS)
    expect(means).toHaveLength(MINUTES)
    expect(means).toEqual(Array.from({ length: MINUTES }, (_, i) => (30 + i === 80 ? null : 31 + i)))
    expect(hour.means(200 * MINUTE_MS).every((mean) => mean === null)).toBe(true)
  })
})
