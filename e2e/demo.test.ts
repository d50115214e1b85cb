/** `npm start`, as a new user runs it. */
import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { repositoryFolder } from '@tributary/stack'
import { describe, expect, test } from 'vitest'

interface Report {
  ledger: Record<'produced' | 'stored' | 'deadLettered' | 'shed' | 'inFlight' | 'missing' | 'duplicates', number>
  latencyMs: { p50: number; p99: number }
  windows: number
  windowsChecked: number
  windowsWrong: number
  anomalies: number
  alerts: number
  versions: Record<string, string>
  urls: Record<string, string>
}

const npmStart = (folder: string, ...args: string[]) => {
  const child = spawn(process.execPath, [
    join(repositoryFolder, 'stack', 'bootstrap.mjs'),
    'start',
    '--data-dir',
    join(folder, 'data'),
    '--viewer-port',
    '0',
    ...args,
  ])
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  child.stderr.on('data', (chunk) => {
    output += chunk
  })
  const code = new Promise<number | null>((resolve) => child.on('close', resolve))
  return { child, code, output: () => output }
}

/** Command lines of the processes that have the text in them. */
async function processesWith(text: string): Promise<string[]> {
  const found: string[] = []
  for (const pid of await readdir('/proc')) {
    const line = /^\d+$/.test(pid) ? await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '') : ''
    if (line.includes(text)) found.push(line.replaceAll('\0', ' '))
  }
  return found
}

describe('npm start', () => {
  test('--for 50s --report: an anomaly is flagged, an alert is delivered, nothing is missing', {
    timeout: 180_000,
  }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-demo-'))
    const file = join(folder, 'report.json')
    const { code, output } = npmStart(folder, '--for', '50s', '--report', file, '--seed', '42')
    expect(await code, output()).toBe(0)
    const report = JSON.parse(await readFile(file, 'utf8')) as Report
    expect(report.ledger).toMatchObject({ missing: 0, duplicates: 0, inFlight: 0, shed: 0 })
    expect(report.ledger.produced).toBeGreaterThan(15_000)
    expect(report.ledger.deadLettered).toBeGreaterThan(0)
    expect(report.ledger.produced).toBe(report.ledger.stored + report.ledger.deadLettered)
    expect(report.windows).toBeGreaterThanOrEqual(50)
    expect(report.windowsWrong, output()).toBe(0)
    // Eight devices, four windows of 10 s at the least.
    expect(report.windowsChecked).toBeGreaterThanOrEqual(32)
    expect(report.anomalies).toBeGreaterThanOrEqual(1)
    expect(report.alerts).toBeGreaterThanOrEqual(1)
    expect(report.latencyMs.p50).toBeGreaterThan(0)
    expect(report.versions).toHaveProperty('influxd')
    // not on a terminal: plain lines, no control characters
    expect(output()).toMatch(/\d+ readings\/s, produced/)
    expect(output()).not.toContain('\x1b')
    expect(output()).toContain('Every reading is accounted for.')
  })

  test('Ctrl-C prints the account and ends every process', { timeout: 120_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-demo-'))
    const { child, code, output } = npmStart(folder)
    const untilMs = systemClock.monotonicMs() + 60_000
    while (!/produced [1-9]/.test(output()) && systemClock.monotonicMs() < untilMs) await systemClock.sleep(200)
    // a terminal sends it to the whole foreground group; here to the first process, which must pass it on
    child.kill('SIGTERM')
    expect(await code, output()).toBe(0)
    expect(output()).toContain('Every reading is accounted for.')
    expect(await processesWith(folder)).toEqual([])
  })

  test('a second Ctrl-C hurries: no account, and still no process is left', { timeout: 60_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-demo-'))
    const { child, code, output } = npmStart(folder)
    const untilMs = systemClock.monotonicMs() + 40_000
    while (!/produced [1-9]/.test(output()) && systemClock.monotonicMs() < untilMs) await systemClock.sleep(200)
    child.kill('SIGTERM')
    while (!/Stopping the devices/.test(output()) && systemClock.monotonicMs() < untilMs) await systemClock.sleep(50)
    child.kill('SIGTERM')
    expect(await code, output()).toBe(2)
    expect(output()).toContain('interrupted twice')
    expect(await processesWith(folder)).toEqual([])
  })

  test('a scenario that does not exist ends it at once, with 2', { timeout: 30_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tributary-demo-'))
    const { code, output } = npmStart(folder, '--scenario', 'no-such.yaml')
    expect(await code, output()).toBe(2)
    expect(output()).toContain('no-such.yaml')
  })

  test('a data folder that is not empty is refused, and left alone', { timeout: 30_000 }, async () => {
    const child = spawn(process.execPath, [
      join(repositoryFolder, 'stack', 'bootstrap.mjs'),
      'start',
      '--data-dir',
      join(repositoryFolder, 'docs'),
    ])
    let output = ''
    child.stderr.on('data', (chunk) => {
      output += chunk
    })
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(2)
    expect(output).toMatch(/docs is not empty[\s\S]*--data-dir/)
  })
})
