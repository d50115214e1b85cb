/** `npm run bench -- nab` on a benchmark small enough to be scored by hand: what is published must come out, or it ends with 1. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createRandom } from '@tributary/runtime'
import { repositoryFolder } from '@tributary/stack'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { runTributary } from './harness/run-tributary.ts'

const folder = await mkdtemp(join(tmpdir(), 'tributary-nab-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

const ROWS = 200
const PROBATION = 30
/** The window of the first file; the second has none. */
const [FROM, TO] = [100, 119]
const PROFILES = { standard: [0.11, 1], reward_low_FP_rate: [0.22, 1], reward_low_FN_rate: [0.11, 2] } as const
const timeOf = (row: number) => new Date(Date.UTC(2026, 0, 1, row)).toISOString().slice(0, 19).replace('T', ' ')

const write = async (path: string, text: string) => {
  await mkdir(dirname(join(folder, path)), { recursive: true })
  await writeFile(join(folder, path), text)
}
const series = (spike: number) =>
  `timestamp,value\n${Array.from({ length: ROWS }, (_, row) => `${timeOf(row)},${row === spike ? 90 : 20 + (row % 3)}`).join('\n')}\n`

/** Cost of every row being detected, before the weight: all of it before the window and in the other file, less behind it. */
function costOfAll(): number {
  let cost = FROM - PROBATION + (ROWS - PROBATION)
  for (let row = TO + 1; row < ROWS; row++) {
    const y = (row - TO) / (TO - FROM)
    cost += y > 3 ? 1 : 1 - 2 / (1 + Math.exp(5 * y))
  }
  return cost
}

/**
 * `hand` detects the window's first row and two rows of the other file; the benchmark's own `null` gives every row 0.5, and is scored at
 * 0.4 here, so that every row is detected.
 */
beforeEach(async () => {
  await rm(folder, { recursive: true, force: true })
  await write('data/a/one.csv', series(105))
  await write('data/b/two.csv', series(-1))
  await write(
    'labels/combined_windows.json',
    JSON.stringify({ 'a/one.csv': [[`${timeOf(FROM)}.000000`, `${timeOf(TO)}.000000`]], 'b/two.csv': [] }),
  )
  const costs = Object.entries(PROFILES).map(([name, [fpWeight, fnWeight]]) => [
    name,
    { CostMatrix: { tpWeight: 1, fpWeight, fnWeight, tnWeight: 1 } },
  ])
  await write('config/profiles.json', JSON.stringify(Object.fromEntries(costs)))
  const [inside, outside] = [TO - FROM + 1, ROWS - PROBATION - (TO - FROM + 1)]
  const finals: Record<string, Record<string, number>> = { hand: {}, null: {} }
  for (const [profile, [fp, fn]] of Object.entries(PROFILES)) {
    const scaled = (sum: number) => (100 * (sum + fn)) / (1 + fn)
    const one = 1 - fp * (costOfAll() - (ROWS - PROBATION))
    const two = -fp * (ROWS - PROBATION)
    ;(finals['hand'] as Record<string, number>)[profile] = scaled(1 - 2 * fp)
    ;(finals['null'] as Record<string, number>)[profile] = scaled(one + two)
    const stored = (detector: string, threshold: number, rows: string[]) =>
      write(
        `published/${detector}/${detector}_${profile}_scores.csv`,
        [
          'Detector,Profile,File,Threshold,Score,TP,TN,FP,FN,Total_Count',
          ...rows.map((row) => `${detector},${profile},${row}`),
          'Totals,,,,0,0,0,0,0,0',
          '',
        ]
          .join('\n')
          .replaceAll('THRESHOLD', String(threshold)),
      )
    await stored('hand', 0.9, [
      `a/one.csv,THRESHOLD,1,1,${outside},0,${inside - 1},${ROWS}`,
      `b/two.csv,THRESHOLD,${-2 * fp},0,${ROWS - PROBATION - 2},2,0,${ROWS}`,
    ])
    await stored('null', 0.4, [
      `a/one.csv,THRESHOLD,${one},${inside},0,${outside},0,${ROWS}`,
      `b/two.csv,THRESHOLD,${two},0,0,${ROWS - PROBATION},0,${ROWS}`,
    ])
  }
  await write('published/final_results.json', JSON.stringify(finals))
})

const bench = (...args: string[]) =>
  new Promise<{ code: number; stdout: string; stderr: string }>((resolve) =>
    execFile(
      process.execPath,
      ['--import', 'tsx', join(repositoryFolder, 'bench', 'main.ts'), 'nab', ...args],
      { cwd: repositoryFolder, maxBuffer: 1 << 24 },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    ),
  )
const change = async (path: string, from: string, to: string) => {
  const text = await readFile(join(folder, path), 'utf8')
  expect(text).toContain(from)
  await write(path, text.replace(from, to))
}

test('published results come out; tables, halves, prefix, restart, time and bytes are printed', {
  timeout: 120_000,
}, async () => {
  const { code, stdout } = await bench('--data', folder, '--detector', 'lite', '--scores', join(folder, 'scores'))
  expect(code, stdout).toBe(0)
  for (const said of [
    '2 files, 400 rows, 1 windows',
    '6 published results of 2 detectors come out to the third decimal, those of null row by row (6 scores of files, too)',
    'lite, prefix violations over 2 files: 0',
    'lite, restart violations over 2 files: 0',
    'threshold chosen on one half',
    'lite, a point: ',
    'lite, largest state: ',
  ])
    expect(stdout).toContain(said)
  // The spike lies in the window's sixth row, and nothing else is found: 2/(1+exp(-5·15/20)) - 1 of its reward, halved onto the scale.
  const reward = (2 / (1 + Math.exp((-5 * 15) / 20)) - 1) / (2 / (1 + Math.exp(-5)) - 1)
  expect(stdout).toMatch(new RegExp(`all +2 +1 of 1 +0 +${((100 * (1 + reward)) / 2).toFixed(2).replace('.', '\\.')}`))
  const scores = await readFile(join(folder, 'scores', 'lite', 'a', 'lite_one.csv'), 'utf8')
  expect(scores.split('\n').length).toBe(ROWS + 2)
  expect(Number(scores.split('\n')[106]?.split(',')[2])).toBeGreaterThan(0.5)

  const json = await bench('--data', folder, '--detector', 'lite', '--json')
  const { figures } = JSON.parse(json.stdout) as { figures: { what: string; value: number }[] }
  expect(figures.find(({ what }) => what === 'lite, standard, threshold 0.5')?.value).toBeCloseTo(50 * (1 + reward), 9)
})

/** Nine files in three groups, of which six have a window, and what the benchmark says of them: `random` alone, without results. */
async function writeGroups(): Promise<void> {
  const random = createRandom(11)
  const labels: Record<string, [string, string][]> = {}
  for (const [f, name] of ['a/1', 'a/2', 'a/3', 'b/1', 'b/2', 'b/3', 'c/1', 'c/2', 'c/3'].entries()) {
    const spikes = new Set(Array.from({ length: 4 }, () => 40 + random.below(ROWS - 60)))
    const rows = Array.from({ length: ROWS }, (_, row) => {
      const size = spikes.has(row) ? 1 + 9 * random.next() : 0
      return `${timeOf(f === 1 && row === 90 ? 80 : row)},${(20 + random.next() + size).toFixed(3)}`
    })
    await write(`data/${name}.csv`, `timestamp,value\n${rows.join('\n')}\n`)
    const [first = 0] = spikes
    labels[`${name}.csv`] = f % 3 === 2 ? [] : [[`${timeOf(first - 4)}.000000`, `${timeOf(first + 8)}.000000`]]
  }
  await write('labels/combined_windows.json', JSON.stringify(labels))
  for (const detector of ['hand', 'null']) await rm(join(folder, 'published', detector), { recursive: true })
  for (const profile of Object.keys(PROFILES))
    await write(`published/random/random_${profile}_scores.csv`, 'Detector,Profile,File,Threshold,Score,TP,TN,FP,FN\n')
  await write('published/final_results.json', '{}')
}

interface Scored {
  readonly group: string
  readonly scores: readonly number[]
  /** Row and last row of its window. */
  readonly window: readonly [number, number] | undefined
}

/** The sum of some files at a threshold, row by row, in the standard profile. */
function sumOf(files: readonly Scored[], threshold: number): number {
  const sigmoid = (y: number) => (y > 3 ? -1 : 2 / (1 + Math.exp(5 * y)) - 1)
  let sum = 0
  for (const { scores, window } of files) {
    const [from, to] = window ?? [ROWS, ROWS]
    const width = to - from + 1
    const found = scores.findIndex((score, row) => row >= PROBATION && row >= from && row <= to && score >= threshold)
    if (window) sum += found < 0 ? -1 : sigmoid((found - to - 1) / width) / sigmoid(-1)
    for (let row = PROBATION; row < ROWS; row++)
      if ((scores[row] as number) >= threshold && (row < from || row > to))
        sum += 0.11 * (row < from ? -1 : sigmoid((row - to) / (width - 1)))
  }
  return sum
}
const windowsOf = (files: readonly Scored[]) => files.filter(({ window }) => window !== undefined).length
const onScale = (sum: number, windows: number) => (100 * (sum + windows)) / (2 * windows)
/** The highest of the thresholds that are best. */
function bestFor(files: readonly Scored[]): number {
  const thresholds = [Number.POSITIVE_INFINITY, ...new Set(files.flatMap(({ scores }) => scores))].sort((a, b) => b - a)
  return thresholds.reduce((best, one) => (sumOf(files, one) > sumOf(files, best) ? one : best))
}

test('the best threshold, and what one half chooses for the other, are what trying all of them finds', {
  timeout: 120_000,
}, async () => {
  await writeGroups()
  const scoresFolder = join(folder, 'scores')
  const { code, stdout, stderr } = await bench(
    '--data',
    folder,
    '--detector',
    'lite',
    '--scores',
    scoresFolder,
    '--json',
  )
  expect(code, stderr).toBe(0)
  const labels = JSON.parse(await readFile(join(folder, 'labels/combined_windows.json'), 'utf8')) as Record<
    string,
    [string, string][]
  >
  const files = await Promise.all(
    Object.entries(labels).map(async ([name, [window]]): Promise<Scored> => {
      const [group = '', file] = name.split('/')
      const rows = (await readFile(join(scoresFolder, 'lite', group, `lite_${file}`), 'utf8'))
        .trim()
        .split('\n')
        .slice(1)
      const rowOf = (time: string) => rows.findIndex((row) => row.startsWith(time.slice(0, 19)))
      const scores = rows.map((row) => Number(row.split(',')[2]))
      return { group, scores, window: window && [rowOf(window[0]), rowOf(window[1])] }
    }),
  )
  expect(new Set(files.flatMap(({ scores }) => scores)).size).toBeGreaterThan(500)
  const { figures } = JSON.parse(stdout) as { figures: { what: string; value: number; beside: string }[] }
  const figure = (what: string) => figures.find((one) => one.what === `lite, standard, ${what}`)
  expect(figure('best threshold')?.value).toBeCloseTo(onScale(sumOf(files, bestFor(files)), 6), 9)

  const first = /first half: (\w(?:, \w)*)$/m.exec(stderr)?.[1]?.split(', ') ?? []
  const halves = [true, false].map((isFirst) => files.filter(({ group }) => first.includes(group) === isFirst))
  const [one = [], other = []] = halves
  const sums = [sumOf(one, bestFor(other)), sumOf(other, bestFor(one))] as const
  const chosen = figure('threshold halved by groups')
  expect(chosen?.value).toBeCloseTo(onScale(sums[0] + sums[1], 6), 9)
  expect(chosen?.beside).toContain(
    `second reported ${onScale(sums[1], windowsOf(other)).toFixed(2)}; the other way ${onScale(sums[0], windowsOf(one)).toFixed(2)}`,
  )
  expect(figure('threshold and sensitivity halved by groups')?.beside).toMatch(
    /\((as it is|\d × (confirmed|dismissed)), /,
  )

  // What `tributary detect` writes can be scored as it is: all rows, a number each, the same ones.
  const data = join(folder, 'data/a/2.csv')
  const detected = await runTributary(['detect', data, '--detector', 'lite'])
  const given = (await readFile(join(scoresFolder, 'lite/a/lite_2.csv'), 'utf8')).trim().split('\n')
  const found = detected.stdout.trim().split('\n')
  expect(found.map((row) => row.split(',')[0])).toEqual(given.map((row) => row.split(',')[0]))
  const scoresIn = (rows: readonly string[]) => rows.slice(1).map((row) => Number(row.split(',')[2]))
  expect(scoresIn(found)).toEqual(scoresIn(given).map((score) => Number(score.toFixed(6))))
  expect(found[91]).toMatch(/,0$/)
})

test('a published number that does not come out ends it with 1, and is named', async () => {
  await change('published/hand/hand_reward_low_FN_rate_scores.csv', '0.9,1,1,', '0.9,0.998,1,')
  expect(await bench('--data', folder)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/hand, reward_low_FN_rate: 92\.6\d* from its files, 92\.66\d* is published/),
  })
})

test('a window that is another ends it with 1', async () => {
  await change('labels/combined_windows.json', timeOf(TO), timeOf(TO + 1))
  const { code, stderr } = await bench('--data', folder)
  expect(code).toBe(1)
  expect(stderr).toContain('hand, standard, a/one.csv: 21 rows in windows and 149 outside, 20 and 150 are published')
  expect(stderr).toMatch(/null, standard: [-\d.]+ by our rows/)
})

test('a folder that is not there or is another is said so', { timeout: 120_000 }, async () => {
  expect(await bench('--data', join(folder, 'absent'))).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('there is no folder'),
  })
  await rm(join(folder, 'labels'), { recursive: true })
  expect(await bench('--data', folder)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('has no labels/combined_windows.json'),
  })
  expect(await bench()).toMatchObject({ code: 1, stderr: expect.stringContaining('--data is missing') })
  expect((await bench('--data', folder, '--detector', 'huge')).stderr).toContain('there is no detector "huge"')
})
