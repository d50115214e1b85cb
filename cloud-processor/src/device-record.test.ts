import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  ALWAYS_MS,
  deviceEntrySchema,
  deviceRecordSchema,
  entriesOf,
  overlaid,
  PLACEMENTS_MAX,
  type Placement,
  placementAt,
  recordsOf,
  withPlacement,
} from './device-record.ts'

const at = (fromMs: number, site: string): Placement => ({
  fromMs,
  site,
  line: '',
  name: '',
  location: '',
  thresholds: [],
})

test('a reading belongs to the placement that was in force when it was measured, in whatever order they were entered', () => {
  const edits = fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 1_000 }), fc.constantFrom('hall', 'yard', 'annex')), {
    maxLength: PLACEMENTS_MAX,
    selector: ([fromMs]) => fromMs,
  })
  fc.assert(
    fc.property(edits, fc.integer({ min: -10, max: 1_100 }), (entered, timeMs) => {
      const record = entered.reduce<ReturnType<typeof withPlacement> | undefined>(
        (before, [fromMs, site]) => withPlacement(before, at(fromMs, site)),
        undefined,
      )
      const inForce = entered.filter(([fromMs]) => fromMs <= timeMs).sort(([a], [b]) => b - a)[0]
      expect(placementAt(record, timeMs)?.site).toBe(inForce?.[1])
      if (record) expect(deviceRecordSchema.parse(JSON.parse(JSON.stringify(record)))).toEqual(record)
    }),
  )
})

test('the history is bounded: the two oldest become one, and nothing newer changes', () => {
  let record = withPlacement(undefined, at(ALWAYS_MS, 'site-0'))
  for (let i = 1; i <= PLACEMENTS_MAX + 3; i++) record = withPlacement(record, at(i * 1_000, `site-${i}`))
  expect(record.placements).toHaveLength(PLACEMENTS_MAX)
  expect(placementAt(record, 0)?.site).toBe('site-4')
  for (let i = 4; i <= PLACEMENTS_MAX + 3; i++) expect(placementAt(record, i * 1_000)?.site).toBe(`site-${i}`)
})

test('what stands above keeps what stands beneath wherever it says nothing, at each time', () => {
  const recordOf = (...entries: object[]) =>
    recordsOf(entries.map((entry) => deviceEntrySchema.parse({ device: 'pump-1', ...entry }))).get('pump-1') as never
  const limit = (field: string, above: number) => ({ field, above })
  const inFile = recordOf(
    { site: 'hall', name: 'Feed pump', line: 'cooling', thresholds: [limit('level', 7), limit('flow', 1)] },
    { site: 'yard', name: 'Feed pump', from: '2026-05-01T08:00:00Z' },
  )
  const inBucket = recordOf(
    { line: '3', from: '2026-04-01T08:00:00Z', thresholds: [limit('level', 9)] },
    { removed: true, from: '2026-06-01T08:00:00Z' },
  )
  const both = overlaid(inFile, inBucket)
  const on = (date: string) => {
    const { site, name, line, removed, thresholds } = placementAt(both, Date.parse(date)) as Placement
    return [site, name, line, removed, thresholds.map(({ field, above }) => `${field}>${above}`).join(' ')]
  }
  expect(on('2026-03-01')).toEqual(['hall', 'Feed pump', 'cooling', undefined, 'level>7 flow>1'])
  expect(on('2026-04-02')).toEqual(['hall', 'Feed pump', '3', undefined, 'flow>1 level>9'])
  expect(on('2026-05-02')).toEqual(['yard', 'Feed pump', '3', undefined, 'level>9'])
  expect(on('2026-06-02')).toEqual([undefined, '', '', true, ''])
  expect(overlaid(undefined, inBucket)).toBe(inBucket)
  const many = recordOf(...Array.from({ length: PLACEMENTS_MAX }, (_, i) => ({ from: `2026-01-${i + 10}T00:00:00Z` })))
  expect(deviceRecordSchema.safeParse(overlaid(many, inFile)).success).toBe(true)
})

test('a placement of the same time is replaced, and what a file says comes out as it went in', () => {
  const entries = [
    {
      device: 'pump-1',
      site: 'hall',
      name: 'Feed pump',
      thresholds: [{ field: 'level', above: 7, severity: 'critical' }],
    },
    { device: 'pump-1', from: '2026-05-01T08:00:00+02:00', site: 'yard', line: '2' },
    { device: 'pump-1', from: '2026-05-01T06:00:00Z', site: 'annex' },
  ].map((entry) => deviceEntrySchema.parse(entry))
  const [record] = [...recordsOf(entries).values()]
  expect(record?.placements).toHaveLength(2)
  const written = entriesOf('pump-1', record as never)
  expect(written).toEqual([
    {
      device: 'pump-1',
      site: 'hall',
      name: 'Feed pump',
      thresholds: [{ field: 'level', above: 7, hysteresis: 0, severity: 'critical' }],
    },
    { device: 'pump-1', from: '2026-05-01T06:00:00.000Z', site: 'annex' },
  ])
  expect(recordsOf(written.map((entry) => deviceEntrySchema.parse(entry))).get('pump-1')).toEqual(record)
})

test.each([
  [{ device: 'A b' }, 'device'],
  [{ device: 'a', from: '2026-05-01 08:00' }, 'from'],
  [{ device: 'a', from: '2026-13-01T08:00Z' }, 'from'],
  [{ device: 'a', sight: 'hall' }, ''],
  [{ device: 'a', thresholds: [{ field: 'level', above: 1, below: 2 }] }, 'thresholds.0'],
  [{ device: 'a', thresholds: [{ field: 'level', over: 1 }] }, 'thresholds.0'],
  [{ device: 'a', name: 'x'.repeat(201) }, 'name'],
])('%j is refused', (entry, path) => {
  const result = deviceEntrySchema.safeParse(entry)
  expect(result.error?.issues[0]?.path.join('.')).toBe(path)
})
