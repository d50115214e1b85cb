import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deviceEntrySchema, entriesOf, placementAt } from '@tributary/cloud-processor'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseDeviceCsv } from './device-csv.ts'
import { changeDevice, importDevice, removeDevice } from './device-edits.ts'
import { readDeviceFiles } from './device-files.ts'
import { parseLimit, sayLimit } from './device-limit.ts'

const T = Date.UTC(2026, 4, 1, 8)
const entry = (text: object) => deviceEntrySchema.parse({ device: 'pump-1', ...text })

describe('set', () => {
  const first = changeDevice(undefined, { site: 'hall', name: 'Feed pump' }, { fromMs: undefined, nowMs: T })

  test('a site is a move: from now on, or from the time given', () => {
    expect(placementAt(first, T - 1)).toBeUndefined()
    const moved = changeDevice(first, { site: 'yard' }, { fromMs: undefined, nowMs: T + 5_000 })
    expect([T, T + 4_999, T + 5_000].map((at) => placementAt(moved, at)?.site)).toEqual(['hall', 'hall', 'yard'])
    expect(placementAt(moved, T + 5_000)?.name).toBe('Feed pump')
    const earlier = changeDevice(moved, { site: 'annex' }, { fromMs: T + 2_000, nowMs: T + 9_000 })
    expect([1_999, 2_000, 5_000].map((ms) => placementAt(earlier, T + ms)?.site)).toEqual(['hall', 'annex', 'yard'])
  })

  test('anything else corrects what is known, and the same again changes nothing', () => {
    const named = changeDevice(first, { site: 'hall', line: '2' }, { fromMs: undefined, nowMs: T + 5_000 })
    expect(named.placements).toEqual([{ ...first.placements[0], line: '2' }])
    expect(changeDevice(named, { line: '2' }, { fromMs: undefined, nowMs: T + 9_000 })).toEqual(named)
  })

  test('limits stand in for those of the same field, and can be taken away', () => {
    const limit = (text: string) => [parseLimit(text) as NonNullable<ReturnType<typeof parseLimit>>]
    const now = { fromMs: undefined, nowMs: T + 1 }
    let record = changeDevice(first, { thresholds: limit('level>7') }, now)
    record = changeDevice(record, { thresholds: limit('flow<1:info') }, now)
    record = changeDevice(record, { thresholds: limit('level>8~0.5:critical') }, now)
    expect(placementAt(record, T + 1)?.thresholds.map(sayLimit)).toEqual(['flow<1:info', 'level>8~0.5:critical'])
    expect(placementAt(changeDevice(record, { clearThresholds: true }, now), T + 1)?.thresholds).toEqual([])
    // Of two kinds that have a field of one name each has its own; a limit without a kind is of all.
    for (const text of ['tank.level>5', 'well.level>6']) record = changeDevice(record, { thresholds: limit(text) }, now)
    expect(placementAt(record, T + 1)?.thresholds.map(sayLimit)).toEqual([
      'flow<1:info',
      'tank.level>5:warning',
      'well.level>6:warning',
    ])
  })

  test('what is removed keeps its past, and can come back', () => {
    const removed = removeDevice(first, T + 5_000)
    expect(placementAt(removed, T + 4_999)?.site).toBe('hall')
    expect(placementAt(removed, T + 5_000)).toMatchObject({ removed: true, name: '' })
    const back = changeDevice(removed, { line: '3' }, { fromMs: undefined, nowMs: T + 9_000 })
    expect(placementAt(back, T + 8_999)?.removed).toBe(true)
    expect(placementAt(back, T + 9_000)).toEqual({
      fromMs: T + 9_000,
      line: '3',
      name: '',
      location: '',
      thresholds: [],
    })
  })
})

describe('import', () => {
  test('a device that is new has always been so; another site than the known one is a move, now', () => {
    const record = importDevice(undefined, [entry({ site: 'hall', name: 'Feed pump' })], T)
    expect(placementAt(record, 0)?.site).toBe('hall')
    expect(importDevice(record, [entry({ site: 'hall', name: 'Feed pump' })], T)).toBe(record)
    const moved = importDevice(record, [entry({ site: 'yard' })], T)
    expect([T - 1, T].map((at) => placementAt(moved, at)?.site)).toEqual(['hall', 'yard'])
    expect(importDevice(moved, [entry({ site: 'yard' })], T + 60_000)).toBe(moved)
  })

  test('a history that was listed comes back as it was', () => {
    const record = importDevice(
      undefined,
      [entry({ site: 'hall' }), entry({ site: 'yard', from: '2026-05-01T08:00:00Z' })],
      T + 60_000,
    )
    const listed = entriesOf('pump-1', record).map((text) => deviceEntrySchema.parse(text))
    expect(importDevice(undefined, listed, T)).toEqual(record)
    expect(importDevice(record, listed, T + 90_000)).toEqual(record)
  })
})

describe('a table', () => {
  test('quotes, semicolons, blank lines, limits', () => {
    const text = `\uFEFFDevice;Name;Site;Thresholds
pump-1;"Pump ""A""; old";hall;level>7~0.5:critical vibration.flow<1

"pump-2";"two
lines";;
`
    expect(
      parseDeviceCsv(text.replaceAll('\n', '\r\n')).entries.map(({ entry: e, line }) => [
        line,
        e.device,
        e.name,
        e.site,
        e.thresholds.map(sayLimit),
      ]),
    ).toEqual([
      [2, 'pump-1', 'Pump "A"; old', 'hall', ['level>7~0.5:critical', 'vibration.flow<1:warning']],
      [4, 'pump-2', 'two\r\nlines', undefined, []],
    ])
  })

  test('every mistake is named with its line', () => {
    const text = 'device,site,from,thresholds\nPump 1,hall,,\npump-2,hall\npump-3,a b,yesterday,level=7\n'
    const { entries, mistakes: found } = parseDeviceCsv(text)
    expect(entries).toEqual([])
    const mistakes = found.map(({ line, path }) => `${line} ${path}`)
    expect(mistakes).toEqual(['2 device', '3 ', '4 thresholds', '4 from', '4 site'])
    for (const [wrong, said] of [
      ['', /first line must name/],
      ['site\nhall\n', /"device" must be one/],
      ['device,sight\na,b\n', /sight: unknown column/],
      ['device,name\na,"b\n', /^2 : a quote is opened/],
    ] as const)
      expect(parseDeviceCsv(wrong).mistakes.map(({ line, path, message }) => `${line} ${path}: ${message}`)).toEqual([
        expect.stringMatching(said),
      ])
  })
})

describe('files', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-devices-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))
  const file = async (name: string, text: string | Buffer) => {
    await writeFile(join(folder, name), text)
    return join(folder, name)
  }
  const contracts = new URL('../../contracts', import.meta.url).pathname

  test('every mistake of every file is named at once', async () => {
    const files = [
      await file('a.csv', 'device,site,thresholds\nPump 1,hall,\npump-2,hall,leevel<5\npump-3,hall,\npump-3,yard,\n'),
      await file('b.yaml', 'devices:\n  - { device: pump-2 }\n  - { device: tank-1, sight: yard }\n'),
      await file('c.yaml', 'devices: [{ device: pump-2, thresholds: [{ field: badge, above: 1 }] }]\n'),
      await file('latin.csv', Buffer.from('device,name\npump-9,S\xfcd\n', 'latin1')),
      join(folder, 'gone.csv'),
    ]
    const error = (await readDeviceFiles(files, contracts).catch((e: unknown) => e)) as Error
    const lines = error.message.split('\n').map((line) => line.replace(`${folder}/`, '').trim())
    for (const said of [
      'a.csv: 3 mistakes',
      /^line 2: device: lower-case letters/,
      /^line 3: thresholds: no contract has a field "leevel"/,
      /^line 5: device: pump-3 is listed twice/,
      'b.yaml: 1 mistake',
      /^line 3: devices\[1\]\.sight: unknown key/,
      'c.yaml: 2 mistakes',
      /^devices\[0\]\.device: pump-2 is listed twice/,
      /^devices\[0\]\.thresholds: no contract has a field "badge"/,
      /^is not UTF-8/,
      'the file does not exist',
    ])
      expect(lines).toContainEqual(expect.stringMatching(said))
  })

  test('entries of several files come together by device', async () => {
    const files = [
      await file('a.csv', '\ufeffdevice,site,from\npump-1,hall,\n'),
      await file('b.yaml', 'devices: [{ device: pump-1, site: yard, from: "2026-05-01T08:00:00Z" }]\n'),
    ]
    const found = await readDeviceFiles(files, contracts)
    expect([...found].map(([device, entries]) => [device, entries.map(({ site }) => site)])).toEqual([
      ['pump-1', ['hall', 'yard']],
    ])
  })
})
