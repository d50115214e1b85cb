/** `tributary device` beside a pipeline that runs: a move takes effect at its time, and no reading stands at two sites. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DeviceEntry } from '@tributary/cloud-processor'
import { systemClock } from '@tributary/runtime'
import { expect, test } from 'vitest'
import { runTributary, until } from './harness/run-tributary.ts'
import { withPipeline } from './harness/with-pipeline.ts'

test('devices are moved, renamed, given limits, imported and removed while readings come', { timeout: 300_000 }, () =>
  withPipeline({ ratePerSecond: 200, seed: 12 }, async (pipeline, folder) => {
    const device = (...args: string[]) => runTributary(['device', ...args, '--nats', pipeline.nats.url])
    const listed = async (...args: string[]) =>
      (JSON.parse((await device('list', '--json', ...args)).stdout) as { devices: DeviceEntry[] }).devices
    const samples = async () => {
      const series = await pipeline.query(
        `SELECT "sequence" FROM "climate" WHERE "device" = 'thermometer-1' GROUP BY "site"`,
      )
      return series.flatMap(({ tags, values }) =>
        values.map(([timeMs]) => ({ site: tags?.['site'] as string, timeMs: Number(timeMs) })),
      )
    }

    expect(await device('list')).toMatchObject({ code: 0, stdout: expect.stringContaining('there is no registry yet') })
    const dry = await device('set', 'thermometer-1', '--site', 'yard', '--dry-run', '--json')
    expect(JSON.parse(dry.stdout)).toMatchObject({ changed: true, dryRun: true })
    expect((await device('list')).stdout).toContain('there is no registry yet')

    await until(async () => (await samples()).length > 20, 'samples are stored')
    const set = await device(
      'set',
      'thermometer-1',
      '--site',
      'yard',
      '--threshold',
      'temperature_c>-50:critical',
      '--json',
    )
    const [entry] = (JSON.parse(set.stdout) as { entries: { from: string; site: string }[] }).entries
    expect(entry).toMatchObject({ site: 'yard' })
    const movedAtMs = Date.parse(entry?.from ?? '')
    await until(
      async () => (await samples()).filter(({ site }) => site === 'yard').length > 20,
      'samples at the new site',
    )

    // The device's own limit fires where it stands, and says so.
    const alerts = async () => {
      const series = await pipeline.query(
        `SELECT "state", "message" FROM "alert" WHERE "device" = 'thermometer-1' GROUP BY "site"`,
      )
      return series.flatMap(({ tags, values }) => values.map((row) => `${tags?.['site']} ${row[1]} ${row[2]}`))
    }
    await until(
      async () => (await alerts()).some((alert) => /^yard firing .*above the limit -50/.test(alert)),
      'an alert by its own limit',
    )

    // It moved an hour ago: what is stored stays where it is.
    const hourAgo = new Date(movedAtMs - 3_600_000).toISOString()
    await device('set', 'thermometer-1', '--site', 'annex', '--from', hourAgo)
    await systemClock.sleep(2_000)
    // Killed, it processes again what it had not saved, by the registry that it knew then.
    await pipeline.processor.kill()
    await device('set', 'thermometer-1', '--site', 'dock', '--from', hourAgo)
    await pipeline.processor.start()
    await systemClock.sleep(5_000)
    const all = await samples()
    expect(new Set(all.map(({ timeMs }) => timeMs)).size).toBe(all.length)
    for (const { site, timeMs } of all) if (site === 'yard') expect(timeMs).toBeGreaterThanOrEqual(movedAtMs)

    // Mistakes are named with their lines, and nothing is changed.
    const file = join(folder, 'more.csv')
    await writeFile(file, 'device,site,thresholds\ntank-1,yard,\nTank 2,yard,level=5\n')
    const wrong = await device('import', file)
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringMatching(/line 3: thresholds:[\s\S]*line 3: device:/)])
    await writeFile(file, 'device,site,thresholds\ntank-1,yard,level_percent<5:critical\ntank-2,yard,\n')
    const contracts = ['--contracts', join(import.meta.dirname, '..', 'contracts')]
    expect((await device('import', file, ...contracts)).stdout).toContain('2 added, 0 changed, 0 as they were')
    expect((await device('import', file, ...contracts)).stdout).toContain('0 added, 0 changed, 2 as they were')
    await writeFile(file, 'device,thresholds\ntank-1,leevel<5\n')
    expect(await device('import', file, ...contracts)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('line 2: thresholds: no contract has a field "leevel"'),
    })

    // What is listed can be imported.
    const copy = join(folder, 'copy.yaml')
    const history = await device('list', '--history', '--json')
    await writeFile(copy, history.stdout)
    expect((await device('import', copy)).stdout).toContain('0 added, 0 changed, 3 as they were')
    expect((await runTributary(['check', copy])).code).toBe(0)

    expect((await device('remove', 'tank-1', 'tank-9')).code).toBe(2)
    expect((await device('remove', 'tank-1')).code).toBe(0)
    expect((await listed()).map((one) => one.device)).toEqual(['tank-2', 'thermometer-1'])
    expect((await listed('--history')).filter((one) => one.device === 'tank-1')).toHaveLength(2)
    const status = (await (await fetch(`${pipeline.urls.processor}/status`)).json()) as { registry: object }
    expect(status.registry).toMatchObject({ bucket: 'read' })
  }),
)
