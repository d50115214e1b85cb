import { createLogger } from '@tributary/runtime'
import { createFaultyFileSystem, createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { BOOTS_MAX, bootTimesPath, openBootTimes } from './boot-times.ts'

const DAY_MS = 86_400_000
const MONDAY_MS = Date.UTC(2026, 5, 1)
const PATH = '/spool.clock'
const lines: string[] = []
const log = createLogger('test', 'debug', { write: (line: string) => void lines.push(JSON.parse(line).msg) })
const diskOf = () => createFaultyFileSystem({ seed: 1 })
type Disk = ReturnType<typeof diskOf>

/** A process in this boot, whose monotonic clock stands at `atMs` and whose wall clock at `wallMs`. */
async function open(disk: Disk, bootId: string, atMs: number, wallMs: number) {
  const clock = createSimulatedClock(wallMs - atMs)
  await clock.advance(atMs)
  const fileSystem = disk.mount()
  return openBootTimes(PATH, bootId, clock, { log, fileSystem })
}
/** A boot that ran for so long; @param trueMs when it began, if its clock was ever trusted */
async function boot(disk: Disk, bootId: string, ranMs: number, wallAtStartMs: number, trueMs?: number) {
  const times = await open(disk, bootId, 1_000, wallAtStartMs + 1_000)
  if (trueMs !== undefined) await times.trust(trueMs, 'gateway', 2_000)
  await times.save(ranMs)
  return times
}

test('a boot keeps its offset over restarts of the process, whatever the wall clock says meanwhile', async () => {
  const disk = diskOf()
  const first = await open(disk, 'one', 5_000, 105_000)
  expect(first.current).toMatchObject({ id: 'one', provisionalOffsetMs: 100_000 })
  await first.save(6_000)
  const second = await open(disk, 'one', 7_000, MONDAY_MS)
  expect(second.current.provisionalOffsetMs).toBe(100_000)
  await second.trust(MONDAY_MS, 'system', 8_000)
  second.move(MONDAY_MS + 3, 'gateway')
  await second.save(9_000)
  expect((await open(disk, 'one', 10_000, 0)).current).toEqual({
    id: 'one',
    provisionalOffsetMs: 100_000,
    correction: { offsetMs: MONDAY_MS, quality: 'corrected' },
    trusted: { offsetMs: MONDAY_MS + 3, by: 'gateway' },
    lastMs: 9_000,
  })
})

test('what is decided once stays: the correction of a boot does not follow later measurements', async () => {
  const times = await open(diskOf(), 'one', 1_000, 1_000)
  await times.trust(MONDAY_MS, 'gateway', 2_000)
  await times.trust(MONDAY_MS + 500, 'system', 3_000)
  times.move(MONDAY_MS + 900, 'system')
  expect(times.find('one')?.correction).toEqual({ offsetMs: MONDAY_MS, quality: 'corrected' })
})

const HOUR_MS = 3_600_000
test.each([
  ['began in 1970: right after the boot before', 0, MONDAY_MS + HOUR_MS],
  ['thought it was earlier than the boot before', MONDAY_MS - DAY_MS, MONDAY_MS + HOUR_MS],
  ['thought it was later than the next one', MONDAY_MS + 9 * DAY_MS, MONDAY_MS + DAY_MS - 2 * HOUR_MS],
  ['may have been right', MONDAY_MS + 5 * HOUR_MS, MONDAY_MS + 5 * HOUR_MS],
])('a boot whose clock was never trusted lies between its neighbours: %s', async (_, wallMs, expected) => {
  const disk = diskOf()
  await boot(disk, 'before', HOUR_MS, MONDAY_MS, MONDAY_MS)
  // The file of an agent of before, or of one that did not know its predecessor: its clock counts as it was.
  await boot(disk, 'lost', 2 * HOUR_MS, wallMs)
  const times = await boot(disk, 'after', HOUR_MS, MONDAY_MS + DAY_MS, MONDAY_MS + DAY_MS)
  expect(times.find('lost')?.correction).toEqual({ offsetMs: expected, quality: 'estimated' })
})

test('several in a row do not overlap, and keep their order', async () => {
  const disk = diskOf()
  await boot(disk, 'a', HOUR_MS, MONDAY_MS, MONDAY_MS)
  for (const id of ['b', 'c', 'd']) await boot(disk, id, HOUR_MS, 0)
  const times = await boot(disk, 'e', HOUR_MS, 0, MONDAY_MS + 10 * HOUR_MS)
  const offsets = ['a', 'b', 'c', 'd', 'e'].map((id) => times.find(id)?.correction?.offsetMs as number)
  expect(offsets).toEqual([0, 1, 2, 3, 10].map((hours) => MONDAY_MS + hours * HOUR_MS))
})

test('of the very first boots only the end is known: they ended as the next one began', async () => {
  const disk = diskOf()
  await boot(disk, 'a', HOUR_MS, 0)
  await boot(disk, 'b', 2 * HOUR_MS, 0)
  const times = await boot(disk, 'c', HOUR_MS, 0, MONDAY_MS)
  expect(times.find('b')?.correction?.offsetMs).toBe(MONDAY_MS - 2 * HOUR_MS)
  expect(times.find('a')?.correction?.offsetMs).toBe(MONDAY_MS - 3 * HOUR_MS)
})

test('a clock that starts behind the last known time starts there', async () => {
  const disk = diskOf()
  await boot(disk, 'a', HOUR_MS, MONDAY_MS, MONDAY_MS)
  expect((await open(disk, 'b', 10_000, 10_000)).current.provisionalOffsetMs).toBe(MONDAY_MS + HOUR_MS)
})

test('boots that the file does not know are learnt from the records of the spool', async () => {
  const times = await open(diskOf(), 'now', 1_000, 1_000)
  times.seen('older', HOUR_MS, { offsetMs: MONDAY_MS, quality: 'trusted' })
  times.seen('old', 2 * HOUR_MS, { offsetMs: 0, quality: 'untrusted' })
  await times.trust(MONDAY_MS + DAY_MS, 'gateway', 2_000)
  expect(times.find('old')?.correction).toEqual({ offsetMs: MONDAY_MS + HOUR_MS, quality: 'estimated' })
})

test('a monotonic clock that ran backwards is another boot, whatever its name', async () => {
  const disk = diskOf()
  await boot(disk, 'copied', HOUR_MS, MONDAY_MS, MONDAY_MS)
  const times = await open(disk, 'copied', 5_000, MONDAY_MS + DAY_MS)
  expect(times.current).toMatchObject({ id: 'copied~2', provisionalOffsetMs: MONDAY_MS + DAY_MS - 5_000 })
  expect(times.current.trusted).toBeUndefined()
})

test('so many boots are remembered, the newest', async () => {
  const disk = diskOf()
  for (let i = 0; i < BOOTS_MAX + 6; i++) await boot(disk, `boot-${i}`, 10_000, 0)
  const times = await open(disk, 'last', 1_000, 1_000)
  expect([5, 6, 7, BOOTS_MAX + 5].map((i) => times.find(`boot-${i}`) !== undefined)).toEqual([false, false, true, true])
  expect((disk.contents(PATH) as Uint8Array).length).toBeLessThan(32 * 1024)
})

test('a damaged file is said, and begun anew', async () => {
  const disk = diskOf()
  await boot(disk, 'a', HOUR_MS, MONDAY_MS, MONDAY_MS)
  const whole = disk.contents(PATH) as Uint8Array
  for (let at = 0; at < whole.length; at += 7) {
    const bytes = Uint8Array.from(whole)
    bytes[at] = (bytes[at] as number) ^ 4
    disk.put(PATH, bytes)
    lines.length = 0
    const times = await open(disk, 'b', 1_000, 5_000)
    expect(times.find('a'), `byte ${at}`).toBeUndefined()
    expect(lines.join()).toMatch(/what was known of the clock cannot be read, and is made anew/)
  }
  for (const rubbish of ['', '00000000\n', 'x'.repeat(100_000)]) {
    disk.put(PATH, Buffer.from(rubbish))
    expect((await open(disk, 'b', 1_000, 5_000)).current.id).toBe('b')
  }
})

test('a disk that takes nothing is said once, and time goes on', async () => {
  const disk = diskOf()
  const times = await open(disk, 'a', 1_000, 1_000)
  disk.faultAt = ({ kind }) => (kind === 'write' ? 'ENOSPC' : undefined)
  lines.length = 0
  await times.trust(MONDAY_MS, 'gateway', 2_000)
  await times.save(3_000)
  expect(times.current.trusted).toEqual({ offsetMs: MONDAY_MS, by: 'gateway' })
  expect(lines).toEqual(['what is known of the clock could not be saved; it is tried again'])
})

test('the power may go at any moment of a save: the file says what it said, or what it should say', async () => {
  for (let crashAt = 0; crashAt < 12; crashAt++) {
    const disk = diskOf()
    await boot(disk, 'a', HOUR_MS, MONDAY_MS, MONDAY_MS)
    const times = await open(disk, 'b', 1_000, 1_000)
    const from = disk.operations
    disk.faultAt = ({ index }) => (index === from + crashAt ? 'crash' : undefined)
    await Promise.race([times.trust(MONDAY_MS + DAY_MS, 'gateway', 2_000), disk.crashed])
    disk.faultAt = undefined
    const again = await open(disk, 'b', 3_000, 3_000)
    expect(again.find('a')?.correction?.offsetMs, `operation ${crashAt}`).toBe(MONDAY_MS)
    expect([undefined, MONDAY_MS + DAY_MS]).toContain(again.current.trusted?.offsetMs)
  }
})

test('the file lies beside the spool', () => {
  expect(['/var/spool', '/var/spool/', 'spool'].map(bootTimesPath)).toEqual([
    '/var/spool.clock',
    '/var/spool.clock',
    'spool.clock',
  ])
})
