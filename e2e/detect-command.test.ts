/** `tributary detect` as a person runs it, on files as they come. */
import { execFile, execFileSync } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  batchOf,
  blockOf,
  contextOf,
  createEffects,
  detectorsFor,
  intakeOf,
  seriesContext,
  stateFor,
  step,
} from '@tributary/cloud-processor/testing'
import { contractSchema } from '@tributary/protocol'
import { createRandom } from '@tributary/runtime'
import { tributaryProgram } from '@tributary/stack'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runTributary, startTributary, until } from './harness/run-tributary.ts'

const START_MS = Date.UTC(2026, 4, 1)
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-detect-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const detect = (...args: string[]) => runTributary(['detect', ...args])
/** A quiet series at 1 Hz with a spike now and then, written with two decimals. */
function readings(count: number): { timeMs: number; value: number }[] {
  const random = createRandom(3)
  return Array.from({ length: count }, (_, i) => {
    const spike = i > 200 && i % 307 === 0 ? 8 + 4 * random.next() : 0
    const value = 20 + Math.sin(i / 90) + 0.4 * (random.next() + random.next() - 1) + spike
    return { timeMs: START_MS + i * 1_000, value: Math.round(value * 100) / 100 }
  })
}
const lineOf = ({ timeMs, value }: { timeMs: number; value: number }) => `${new Date(timeMs).toISOString()},${value}`
async function fileOf(name: string, lines: readonly string[]): Promise<string> {
  const file = join(folder, name)
  await writeFile(file, `${lines.join('\n')}\n`)
  return file
}
const rowsOf = (csv: string) =>
  csv
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => line.split(','))

test.each(['lite', 'full'])(
  'scores of %s are those of the processor, and stay the same when the file is cut',
  { timeout: 180_000 },
  async (size) => {
    const points = readings(1_500)
    const file = await fileOf('quiet.csv', ['time,temperature', ...points.map(lineOf)])
    const contract = contractSchema.parse({
      kind: 'climate',
      version: 1,
      description: 'x',
      interval: '1s',
      fields: { temperature: { type: 'float', label: 'temperature', unit: '°C', decimals: 2 } },
      detectors: { outlier: { temperature: size } },
    })
    const options = ['--detector', size, '--decimals', '2', '--interval', '1s', '--unit', '°C']
    const { code, stdout, stderr } = await detect(file, ...options)
    expect([code, stderr]).toEqual([0, expect.stringContaining(`1,500 rows of "temperature", 1,500 judged by ${size}`)])
    const rows = rowsOf(stdout)
    expect(rows.map(([timestamp, value]) => `${timestamp},${value}`)).toEqual(points.map(lineOf))

    // 1. Reading by reading the detector that the contract asks for.
    const [detector] = detectorsFor(contract, 'temperature', seriesContext(contract, 'plant', 'room-1', 'temperature'))
    const state = detector?.start()
    if (detector === undefined || state === undefined) throw new Error('the contract asks for a detector')
    for (const [i, { timeMs, value }] of points.entries()) {
      detector.observe(state, timeMs, value)
      expect(Number(rows[i]?.[2]), `row ${i}`).toBeCloseTo(detector.last(state).score, 6)
    }

    // 2. The processor's own step writes each alarm that begins, with the same score.
    const context = contextOf([contract])
    const processor = stateFor(context)
    const effects = createEffects()
    const blocks = [
      blockOf(
        'room-1',
        'climate',
        points.map(({ timeMs, value }) => ({ timeMs, values: { temperature: value } })),
      ),
    ]
    step(processor, intakeOf(batchOf({ sequence: 1, completeThroughMs: START_MS + 2e6, blocks })), context, effects)
    const lines = effects.lines.bytes.toString('utf8', 0, effects.lines.length).split('\n')
    const begun = rows.filter(([, , score]) => Number(score) >= 0.5)
    expect(begun.length).toBeGreaterThan(2)
    for (const [timestamp = '', , score] of begun) {
      const stored = lines.find((line) => line.startsWith('anomaly,') && line.endsWith(` ${Date.parse(timestamp)}`))
      expect(Number(/score=([\d.]+)/.exec(stored ?? '')?.[1]), timestamp).toBeCloseTo(Number(score), 6)
    }

    // 3. The future changes nothing.
    for (const cut of [1, 615]) {
      const part = await fileOf('cut.csv', ['time,temperature', ...points.slice(0, cut).map(lineOf)])
      expect(rowsOf((await detect(part, ...options)).stdout), `cut after ${cut}`).toEqual(rows.slice(0, cut))
    }
    const guessed = rowsOf((await detect(file, '--detector', size)).stdout)
    const part = await fileOf('cut.csv', ['time,temperature', ...points.slice(0, 700).map(lineOf)])
    expect(rowsOf((await detect(part, '--detector', size)).stdout)).toEqual(guessed.slice(0, 700))
  },
)

test('a hostile file: every row comes out, those that cannot be judged with the score 0, counted and named', async () => {
  const lines = readings(400).map(lineOf)
  lines[10] = '2026-05-01T00:00:10Z,'
  lines[20] = '2026-05-01T00:00:20Z,broken'
  lines[30] = 'when?,21'
  lines[40] = '2026-05-01T00:00:01Z,21'
  lines[50] = '2026-05-01T00:00:50Z,"21'
  lines[60] = '\u0007'
  const text = `\uFEFFtime;"room\ttemperature"\r\n${lines.map((line) => line.replace(',', ';')).join('\r\n')}`
  const { code, stdout, stderr } = await runTributary(['detect', '-', '--explain', '--above', '24'], {}, text)
  expect([code, stderr]).toEqual([
    0,
    expect.stringContaining('400 rows of "room·temperature", 394 judged by full, above 24'),
  ])
  const rows = rowsOf(stdout)
  expect(stdout.split('\n')[0]).toBe('timestamp,value,anomaly_score,expected,lower,upper,component,message')
  expect(rows.length).toBe(400)
  expect(rows.flatMap(([, , , , , , component], i) => (component === 'not_judged' ? [i] : []))).toEqual([
    ...[10, 20, 30, 40, 50, 60],
  ])
  expect(rows[20]?.slice(1)).toEqual(['broken', '0', '', '', '', 'not_judged', 'with a value that is no number'])
  expect(rows.filter(([, , score]) => !/^[01](\.\d+)?$/.test(score ?? ''))).toEqual([])
  for (const said of [
    'left out: 1 could not be taken apart (line 52)',
    'left out: 2 without a time that can be read (lines 32, 62)',
    'left out: 1 without a value (line 12)',
    'left out: 1 with a value that is no number (line 22)',
    'left out: 1 not newer than the row before (line 42)',
  ])
    expect(stderr).toContain(said)
  expect(stdout).toMatch(/,threshold_above_24,"?room\ttemperature: [\d.]+, [\d.]+ above the limit 24/)
})

test('summary as JSON, rows to a file, a picture', async () => {
  const file = await fileOf('plot.csv', ['time,value', ...readings(900).map(lineOf)])
  const [output, plot] = [join(folder, 'out.csv'), join(folder, 'out.svg')]
  const { code, stdout, stderr } = await detect(
    file,
    ...['--detector', 'lite', '--json', '--output', output, '--plot', plot],
  )
  expect(code).toBe(0)
  const rows = rowsOf(await readFile(output, 'utf8'))
  const alarms = rows.filter(([, , score], i) => Number(score) >= 0.5 && !(Number(rows[i - 1]?.[2]) >= 0.5))
  expect(stderr).toBe('')
  const summary = JSON.parse(stdout) as { alarmList: { from: string; message: string }[]; highest: { score: number } }
  expect(summary).toMatchObject({
    file: 'plot.csv',
    timestampColumn: 'time',
    column: 'value',
    assumed: {},
    rows: 900,
    judged: 900,
    leftOut: {},
    alarms: alarms.length,
    interrupted: false,
  })
  expect(alarms.length).toBeGreaterThan(0)
  expect(summary.alarmList.map(({ from }) => from)).toEqual(alarms.map(([timestamp]) => timestamp))
  expect(summary.highest.score).toBeCloseTo(Math.max(...rows.map(([, , score]) => Number(score))), 6)
  const svg = await readFile(plot, 'utf8')
  expect(svg.match(/<circle class="alarm"[^>]*><title>/g)?.length).toBe(alarms.length)
  expect(svg).toContain('prefers-color-scheme: dark')
  expect(svg).toContain('plot.csv: value')
})

test('a file without times, and one whose value stands still', async () => {
  const values = [...readings(120).map(({ value }) => String(value)), ...Array(80).fill('21.5')]
  const file = await fileOf('still.csv', ['level', ...values])
  const { stdout, stderr } = await detect(file, '--interval', '10s', '--detector', 'none', '--flatline', '5m')
  expect(stderr).toContain('1 alarm at 0.5 or above')
  const flat = rowsOf(stdout).filter(([, , score]) => score === '1')
  expect(flat[0]?.[0]).toBe(String(1_200 + 300))
  expect(flat.length).toBe(80 - 30)
})

test('a file with numbers of rows, a range and a counter; newest rows first', async () => {
  const values = Array.from({ length: 100 }, (_, i) => (i === 50 ? 120 : i === 70 ? 2 : 10 + i))
  const file = await fileOf('index.csv', ['index,level', ...values.map((value, i) => `${i},${value}`)])
  const options = ['--detector', 'none', '--min', '0', '--max', '115', '--counter', '--explain']
  const { stdout, stderr } = await detect(file, ...options)
  for (const said of [
    '"index" numbers the rows; --time-unit s says',
    'rows are taken as 1 s apart; --interval says another',
    '100 rows of "level", 100 judged by range 0 to 115, counter',
  ])
    expect(stderr).toContain(said)
  expect(rowsOf(stdout).flatMap(([index, , score, , , , by]) => (score === '1' ? [`${index} ${by}`] : []))).toEqual([
    '50 out_of_range',
    '51 counter_reset',
    '70 counter_reset',
  ])
  const backwards = await fileOf('back.csv', ['time,level', ...values.map((value, i) => `${2e9 - i},${value}`)])
  const turned = await detect(backwards, '--detector', 'lite')
  expect(turned.stderr).toContain('→ a series is judged in order of time: sort the rows by time')
  expect(rowsOf(turned.stdout).length).toBe(100)
  expect((await detect(file, '--min', '5')).stderr).toContain('for one limit alone give --above or --below')
})

test('a value that rises faster than a limit', async () => {
  const values = Array.from({ length: 200 }, (_, i) => String(20 + Math.max(0, i - 100) / 4))
  const file = await fileOf('rise.csv', ['level', ...values])
  const { stdout, stderr } = await detect(
    file,
    '--interval',
    '10s',
    '--detector',
    'none',
    '--rate',
    '1/min',
    '--explain',
  )
  expect(stderr).toContain('judged by rate 1/min')
  const [first] = rowsOf(stdout).filter(([, , score]) => score === '1')
  expect(Number(first?.[0])).toBeGreaterThan(1_000)
  expect(Number(first?.[0])).toBeLessThanOrEqual(1_000 + 80)
  expect(stdout).toMatch(/,rate,.*rising by 1\.\d+ a minute/)
})

test('Ctrl-C leaves what was judged, says so and ends with 130', async () => {
  const pipe = join(folder, 'pipe')
  const output = join(folder, 'interrupted.csv')
  execFileSync('mkfifo', [pipe])
  const run = startTributary(['detect', pipe, '--detector', 'lite', '--output', output])
  const feed = createWriteStream(pipe)
  feed.write(`time,value\n${readings(500).map(lineOf).join('\n')}\n`)
  await until(async () => (await readFile(output, 'utf8').catch(() => '')).includes('\n2026'), 'rows are written')
  run.signal('SIGINT')
  const { code, stderr } = await run.finished
  feed.destroy()
  expect([code, stderr]).toEqual([130, expect.stringContaining('interrupted after 500 rows')])
  expect(rowsOf(await readFile(output, 'utf8')).length).toBe(500)
})

test('who reads the first lines alone gets those, and nothing is complained of', async () => {
  const file = await fileOf('long.csv', ['time,value', ...readings(20_000).map(lineOf)])
  const command = `"${process.execPath}" "${tributaryProgram}" detect "${file}" --detector lite | head -n 2; echo "\${PIPESTATUS[0]}"`
  const { stdout, stderr } = await promisify(execFile)('bash', ['-c', command])
  expect(stdout).toBe(`timestamp,value,anomaly_score\n${readings(1).map(lineOf)},0\n0\n`)
  expect(stderr).not.toContain('tributary:')
})

test('what cannot be done ends with 2 and says what to do', { timeout: 180_000 }, async () => {
  const file = await fileOf('two.csv', ['time,a,b', '2026-01-01,1,2'])
  const packed = join(folder, 'packed.csv.gz')
  await writeFile(packed, Uint8Array.of(0x1f, 0x8b, 8, 0, 0))
  for (const [args, said] of [
    [[join(folder, 'absent.csv')], 'there is no file'],
    [[file], 'name it with --value-column; numbers are in "a", "b"'],
    [[file, '--value-column', 'a', '--output', file], 'is the file that is read'],
    [[file, '--value-column', 'a', '--detector', 'none'], 'give --above, --below, --min and --max'],
    [[file, '--value-column', 'a', '--rate', '5/day'], 'must be a change per time'],
    [[file, '--value-column', 'a', '--detector', 'huge'], 'Allowed choices are full, lite, none'],
    [[file, '--value-column', 'a', '--timezone', 'Mars/Olympus'], 'there is no time zone'],
    [[file, '--value-column', 'a', '--interval', '0s'], 'must be longer than nothing'],
    [[file, '--value-column', 'a', '--plot', join(folder, 'no', 'such.svg')], 'cannot be written'],
    [[packed], 'zcat'],
    [[folder], 'cannot be read'],
  ] as const)
    expect([args, await detect(...args)]).toMatchObject([args, { code: 2, stderr: expect.stringContaining(said) }])
  expect(await readFile(file, 'utf8')).toBe('time,a,b\n2026-01-01,1,2\n')
})
