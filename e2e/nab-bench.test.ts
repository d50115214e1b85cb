/** `npm run bench -- nab` on a benchmark small enough to be scored by hand: what is published must come out, or it ends with 1. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { repositoryFolder } from '@tributary/stack'
import { afterAll, beforeEach, expect, test } from 'vitest'

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
