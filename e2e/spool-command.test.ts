/** `tributary spool` on an agent's spool as it lies on a card, and on a gateway's beside the gateway. */
import { spawn } from 'node:child_process'
import { mkdtemp, open, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FilledSpool, fillSpool } from '@tributary/edge-agent/testing'
import { createDeviceModels, loadScenario, type Run } from '@tributary/firmware-sim'
import { decodeBatch } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import type { SpoolCheck, SpoolInspection } from '@tributary/spool'
import { simulatedSamples, tributaryProgram } from '@tributary/stack'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runTributary, until } from './harness/run-tributary.ts'
import { withPipeline } from './harness/with-pipeline.ts'

const START_MS = Date.UTC(2026, 4, 1, 8)
const SECONDS = 30
const SEGMENT_BYTES = 16 * 1024

let parent: string
let folder: string
let run: Run
let filled: FilledSpool
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'tributary-spool-command-'))
  folder = join(parent, 'spool')
  run = { seed: 5, startedAtMs: START_MS, rate: 1_000, scenario: await loadScenario('steady'), firstSequences: {} }
  filled = await fillSpool(
    folder,
    simulatedSamples(run, START_MS + SECONDS * 1000),
    {
      agent: 'pi-1',
      bootId: 'boot',
      readingsPerBatch: 500,
      spool: { segmentBytesMax: SEGMENT_BYTES, bytesMax: 64 * SEGMENT_BYTES },
    },
    systemClock,
  )
})
afterAll(() => rm(parent, { recursive: true, force: true }))

const spool = (...args: string[]) => runTributary(['spool', ...args])

interface Line {
  agent: string
  batch: number
  device: string
  kind: string
  time_ms: number
  fields: Record<string, number | boolean | string>
}
const linesOf = (text: string): Line[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line)

describe("an agent's spool", () => {
  test('inspect says what waits and since when', async () => {
    const { code, stdout } = await spool('inspect', folder, '--json')
    expect(code).toBe(0)
    const found = JSON.parse(stdout) as SpoolInspection & Record<string, unknown>
    expect(found).toMatchObject({
      kind: 'agent',
      firstSequence: 1,
      lastSequence: filled.batches,
      unsentRecords: filled.batches,
      bytes: filled.bytesUsed,
      epochs: [{ epoch: filled.epoch, firstSequence: 1 }],
      owner: null,
      damage: [],
    })
    expect(found.segments.length).toBeGreaterThan(3)
    expect(found['oldestAtMs']).toBeGreaterThanOrEqual(START_MS)
    expect(found['oldestAtMs']).toBeLessThan(START_MS + 1_000)
    expect(found['oldestUnsentAtMs']).toBe(found['oldestAtMs'])
    expect(found['newestAtMs']).toBeGreaterThan(START_MS + 29_000)
    const people = await spool('inspect', folder)
    expect(people.stdout).toMatch(/an agent's spool[\s\S]*unsent +\d+, the oldest of 2026-05-01T08:00:00/)
    expect(people.stdout).toContain(filled.epoch)
  })

  test('export gives every value that was measured, in either format', async () => {
    const { code, stdout, stderr } = await spool('export', folder)
    expect([code, stderr]).toEqual([0, expect.stringContaining(`${filled.readings.toLocaleString('en-GB')} readings`)])
    const models = new Map(createDeviceModels(run).map((model) => [model.config.name, model]))
    let readings = 0
    for (const { agent, device, kind, time_ms, fields } of linesOf(stdout)) {
      const sample = models.get(device)?.sample(fields['sequence'] as number)
      expect({ agent, kind, time_ms, fields }).toEqual({
        agent: 'pi-1',
        kind: sample?.kind,
        time_ms: sample?.timeMs,
        fields: Object.fromEntries(sample?.fields.map((name, i) => [name, sample.values[i]]) ?? []),
      })
      readings += Object.keys(fields).length
    }
    expect(readings).toBe(filled.readings)

    const file = join(parent, 'readings.csv')
    expect((await spool('export', folder, '--format', 'csv', '--output', file)).code).toBe(0)
    const rows = (await readFile(file, 'utf8')).trimEnd().split('\n')
    expect(rows[0]).toBe('agent,epoch,batch,device,kind,time_ms,window_ms,field,value')
    expect(rows.length - 1).toBe(filled.readings)
    const again = await spool('export', folder, '--format', 'csv', '--output', file)
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('exists already')])
  })

  test('export takes what was measured in a time, and raw batches', async () => {
    const [from, to] = ['2026-05-01T08:00:10Z', '2026-05-01T08:00:12Z']
    const lines = linesOf((await spool('export', folder, '--from', from, '--to', to)).stdout)
    const all = linesOf((await spool('export', folder)).stdout)
    expect(lines).toEqual(all.filter((l) => l.time_ms >= START_MS + 10_000 && l.time_ms < START_MS + 12_000))
    expect(lines.length).toBeGreaterThan(100)

    const raw = join(parent, 'raw')
    expect((await spool('export', folder, '--format', 'raw', '--output', raw)).code).toBe(0)
    const names = (await readdir(raw)).sort()
    expect(names).toHaveLength(filled.batches)
    const batch = decodeBatch(await readFile(join(raw, names[6] as string)))
    expect(batch.header).toMatchObject({ agent: 'pi-1', epoch: filled.epoch, sequence: 7 })
  })

  test('fsck: sound, then a flipped byte is named and the rest can be exported', async () => {
    const sound = await spool('fsck', folder)
    expect([sound.code, sound.stdout]).toEqual([0, expect.stringContaining(': sound; ')])

    const [, file = ''] = (await readdir(folder)).filter((name) => name.endsWith('.seg')).sort()
    const { size } = await stat(join(folder, file))
    const segment = await open(join(folder, file), 'r+')
    const { buffer } = await segment.read(Buffer.alloc(1), 0, 1, size >> 1)
    await segment.write(Buffer.from([(buffer[0] as number) ^ 0x10]), 0, 1, size >> 1)
    await segment.close()

    const { code, stdout } = await spool('fsck', folder, '--json')
    expect(code).toBe(1)
    const check = JSON.parse(stdout) as Pick<SpoolCheck, 'sound' | 'records' | 'damage'>
    expect(check).toMatchObject({ sound: false, records: filled.batches - 1 })
    const [damage] = check.damage
    expect(damage).toMatchObject({ kind: 'records', file, standing: 'unsent' })
    expect(damage?.fromSequence).toBe(damage?.toSequence)
    const people = await spool('fsck', folder)
    expect(people.stdout).toMatch(new RegExp(`records: ${file} at byte .*they had not been sent`))

    const rest = linesOf((await spool('export', folder)).stdout)
    expect(new Set(rest.map((l) => l.batch)).size).toBe(filled.batches - 1)
    expect(rest.some((l) => l.batch === damage?.fromSequence)).toBe(false)
  })

  test('mistakes are said with what to do, and cost nothing', async () => {
    for (const [args, said] of [
      [['inspect', parent], 'there is no spool in'],
      [['fsck', join(parent, 'nothing')], 'there is no spool in'],
      [['export', folder, '--from', 'yesterday'], 'must be a time'],
      [['export', folder, '--from', '2026-05-02T00:00Z', '--to', '2026-05-01T00:00Z'], 'is not before'],
      [['export', folder, '--format', 'raw'], '--output'],
      [['export', folder, '--format', 'raw', '--output', parent], 'is not empty'],
    ] as const) {
      const { code, stderr } = await spool(...args)
      expect([code, stderr], args.join(' ')).toEqual([2, expect.stringContaining(said)])
    }
  })

  test('Ctrl-C ends an export whose reader has stopped reading', { timeout: 60_000 }, async () => {
    const child = spawn(process.execPath, [tributaryProgram, 'spool', 'export', folder])
    let said = ''
    child.stderr.on('data', (chunk) => {
      said += chunk
    })
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
    // Nobody takes what comes: soon the pipe is full.
    await until(() => child.stdout.readableLength > 0, 'the export writes')
    await systemClock.sleep(1_000)
    expect(child.exitCode).toBe(null)
    child.kill('SIGINT')
    expect([await ended, said]).toEqual([130, expect.stringContaining('interrupted after')])
  })
})

describe("a gateway's spool", () => {
  test('can be looked at while the gateway runs', { timeout: 120_000 }, () =>
    withPipeline({ ratePerSecond: 2_000, seed: 4 }, async (pipeline, dataFolder) => {
      // What is not in the store stays in the gateway.
      await pipeline.processor.kill('SIGSTOP')
      await systemClock.sleep(6_000)
      const gateway = join(dataFolder, 'gateway-spool')
      const found = JSON.parse((await spool('inspect', gateway, '--json')).stdout) as SpoolInspection & { kind: string }
      expect(found).toMatchObject({ kind: 'gateway', owner: { pid: pipeline.gateway.pid, alive: true }, damage: [] })
      expect(found.lastSequence).toBeGreaterThan(5)
      expect(await spool('fsck', gateway)).toMatchObject({ code: 0, stderr: '' })
      const lines = linesOf((await spool('export', gateway)).stdout)
      expect(new Set(lines.map((l) => l.agent))).toEqual(new Set(['agent-1', 'agent-2', 'gateway-1']))
      expect(lines.some((l) => l.device === 'pump-1')).toBe(true)
      await pipeline.processor.kill('SIGCONT')
    }),
  )
})
