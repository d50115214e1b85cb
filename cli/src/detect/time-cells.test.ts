import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createTimeCells, daysComeFirst, numberRows, unitNamed } from './time-cells.ts'
import { timeZone, UTC } from './time-zone.ts'

const read = (cell: string, options: Parameters<typeof createTimeCells>[0] = {}) => createTimeCells(options).read(cell)
const FIRST_MS = Date.UTC(1971, 0, 1)
const LAST_MS = Date.UTC(2999, 0, 1)
const timesMs = fc.integer({ min: FIRST_MS, max: LAST_MS })

describe('times', () => {
  const expected = Date.UTC(2026, 0, 31, 14, 3, 20)
  test.each([
    '2026-01-31T14:03:20Z',
    '2026-01-31 14:03:20',
    ' 2026-01-31T14:03:20.000 ',
    '2026/01/31 14:03:20 UTC',
    '2026-01-31T15:03:20+01:00',
    '2026-01-31 09:33:20 -0430',
    '31.01.2026 14:03:20',
    '31.1.2026, 14:03:20',
    '01/31/2026 14:03:20',
    '1/31/2026 2:03:20 pm',
    '1/31/2026, 2:03:20.000PM UTC',
    '1769868200',
    '1769868200000',
    '1769868200000000',
    '1769868200000000000',
    '1.7698682e9',
  ])('%s', (cell) => expect(read(cell)).toBe(expected))

  test('days alone, minutes alone, parts of a second, the end of a day', () => {
    expect(read('2026-01-31')).toBe(Date.UTC(2026, 0, 31))
    expect(read('1949-11')).toBe(Date.UTC(1949, 10, 1))
    expect(read('2026-01-31 14:03')).toBe(expected - 20_000)
    expect(read('2026-01-31T14:03:20,25Z')).toBe(expected + 250)
    expect(read('2026-01-31T24:00:00')).toBe(Date.UTC(2026, 1, 1))
    expect(read('1769868200.5')).toBe(expected + 500)
    expect(read('1769868200000000250')).toBeCloseTo(expected + 0.00025, 3)
  })

  test.each([
    '',
    'yesterday',
    '13/31/2026 14:00',
    '01/31/2026 13:00 PM',
    '1/31/26',
    '2026-02-30',
    '2026-13-01',
    '2026-13',
    '2026-01-123',
    '2026-01-31T25:00:00',
    '2026-01-31T14:60',
    '31.02.2026',
    '9'.repeat(400),
    '1e300',
    '2026-01-31T14:03:20+1',
  ])('"%s" is no time', (cell) => expect(read(cell)).toBeUndefined())

  test('any time is read back from every form of it', () => {
    fc.assert(
      fc.property(timesMs, (timeMs) => {
        const iso = new Date(timeMs).toISOString()
        expect(read(iso)).toBe(timeMs)
        expect(read(iso.replace('T', ' ').slice(0, -1))).toBe(timeMs)
        expect(read(String(timeMs), { unit: 'ms' })).toBe(timeMs)
        expect(read(`${timeMs}000000`, { unit: 'ns' })).toBe(timeMs)
        expect(read(String(timeMs / 1_000), { unit: 's' })).toBeCloseTo(timeMs, 2)
      }),
    )
  })

  test('text of any sort gives a time that a date can hold, or none', () => {
    const parts = fc.array(fc.constantFrom('2026', '-', '01', ':', 'T', ' ', '.', '1e9', '+', 'Z', '99', '0'), {
      maxLength: 14,
    })
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          parts.map((some) => some.join('')),
        ),
        (cell) => {
          const timeMs = read(cell)
          if (timeMs !== undefined) expect(new Date(timeMs).getTime()).not.toBeNaN()
        },
      ),
    )
  })

  test('numbers of rows are told from times by their steps, and count intervals', () => {
    expect(numberRows(['0', '1', '2', '4'])).toBe(true)
    expect(numberRows(['5.0', '6.0'])).toBe(true)
    for (const cells of [
      [],
      ['0'],
      ['0', '10', '20'],
      ['0.5', '1.5'],
      ['1769868200', '1769868201'],
      ['-1', 'x'],
      ['0', '0'],
    ])
      expect(numberRows(cells), cells.join()).toBe(false)
    expect(read('3', { unit: 'row', rowMs: 60_000 })).toBe(180_000)
    expect(['time_ms', 'Time (s)', 'ts [us]', 't_ns', 'times', 'radius'].map(unitNamed)).toEqual([
      ...['ms', 's', 'us', 'ns', undefined, undefined],
    ])
  })

  test('dates with slashes: month or day first, midnight and noon', () => {
    expect(read('12/1/2026 12:00 AM')).toBe(Date.UTC(2026, 11, 1))
    expect(read('12/1/2026 12:00 PM', { dayFirst: true })).toBe(Date.UTC(2026, 0, 12, 12))
    expect(read('31/12/2026')).toBeUndefined()
    expect([['1/2/2026', '31/12/2026'], ['12/31/2026', '1/2/2026'], ['2026/31/12']].map(daysComeFirst)).toEqual([
      ...[true, false, false],
    ])
  })

  test('the first number decides the unit of all, and it is told', () => {
    const cells = createTimeCells()
    expect(cells.read('0')).toBe(0)
    expect(cells.read('100000000000')).toBe(1e14)
    expect(cells.assumed).toEqual({ unit: 's' })
  })
})

describe('zones', () => {
  const berlin = timeZone('Europe/Berlin')
  test('summer and winter, and what names its own zone', () => {
    const cells = createTimeCells({ zone: berlin })
    expect(cells.read('2026-01-31 14:00')).toBe(Date.UTC(2026, 0, 31, 13))
    expect(cells.read('2026-07-31 14:00')).toBe(Date.UTC(2026, 6, 31, 12))
    expect(cells.read('2026-07-31 14:00Z')).toBe(Date.UTC(2026, 6, 31, 14))
    expect(cells.assumed).toEqual({ zone: 'Europe/Berlin' })
  })
  test('an hour that comes twice goes on, one that is left out is passed', () => {
    const cells = createTimeCells({ zone: berlin })
    const read = ['01:30', '02:00', '02:30', '02:00', '02:30', '03:00'].map((time) => cells.read(`2026-10-25 ${time}`))
    expect(read.map((timeMs) => ((timeMs as number) - Date.UTC(2026, 9, 24, 23, 30)) / 1_800_000)).toEqual([
      0, 1, 2, 3, 4, 5,
    ])
    expect(cells.read('2026-03-29 02:30')).toBe(Date.UTC(2026, 2, 29, 1, 30))
  })
  test('the wall clock of any time, in order, leads back to it', () => {
    fc.assert(
      fc.property(
        timesMs,
        fc.constantFrom('Europe/Berlin', 'America/St_Johns', 'Asia/Kathmandu', 'UTC'),
        (timeMs, name) => {
          const zone = name === 'UTC' ? UTC : timeZone(name)
          expect(zone.timeMs(timeMs + zone.offsetMs(timeMs), timeMs - 1)).toBe(timeMs)
        },
      ),
      { numRuns: 50 },
    )
  })
  test('a zone that is none', () =>
    expect(() => timeZone('Mars/Olympus')).toThrow('there is no time zone "Mars/Olympus"'))
})
