/** What keeps what was acknowledged loses its disk: the stream, the checkpoint, both. The ledger still equals the store. */
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { TELEMETRY_STREAM } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { askJson, checkWindows, type ManagedProcess, type Pipeline, SITE } from '@tributary/stack'
import { expect, test } from 'vitest'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

const RATE = 2_000
const start = (process: ManagedProcess) => process.start(AbortSignal.timeout(60_000))
const wait = (ms: number) => systemClock.sleep(ms)

async function lose(process: ManagedProcess, folder: string): Promise<void> {
  await process.kill('SIGKILL')
  await rm(folder, { recursive: true })
}

const streamFaults: Record<string, (pipeline: Pipeline, folder: string) => Promise<void>> = {
  'NATS loses its disk twice': async ({ nats }, folder) => {
    for (let times = 0; times < 2; times++) {
      await lose(nats, join(folder, 'jetstream'))
      await start(nats)
      await wait(3_000)
    }
  },
  'NATS comes back with an older copy of its disk': async ({ nats }, folder) => {
    await nats.kill('SIGKILL')
    await cp(join(folder, 'jetstream'), join(folder, 'copy'), { recursive: true })
    await start(nats)
    await wait(4_000)
    await lose(nats, join(folder, 'jetstream'))
    await cp(join(folder, 'copy'), join(folder, 'jetstream'), { recursive: true })
    await start(nats)
  },
  'the stream is deleted three times in ten seconds': async ({ urls }) => {
    const connection = await connect({ servers: urls.nats })
    const manager = await jetstreamManager(connection)
    for (let times = 0; times < 3; times++) {
      await manager.streams.delete(TELEMETRY_STREAM).catch(() => undefined)
      await wait(3_000)
    }
    await connection.close()
  },
  // nats-server 2.9 drops its oldest message when a new one fits by its payload and not by its record.
  'the stream is full for a while': async ({ urls, processor }) => {
    const connection = await connect({ servers: urls.nats })
    const manager = await jetstreamManager(connection)
    const { config } = await manager.streams.info(TELEMETRY_STREAM)
    await manager.streams.update(TELEMETRY_STREAM, { ...config, max_bytes: 12_000 })
    await processor.kill('SIGSTOP')
    await wait(10_000)
    await processor.kill('SIGCONT')
    await connection.close()
  },
}

for (const [name, fault] of Object.entries(streamFaults))
  test(name, { timeout: 180_000 }, () =>
    withPipeline({ ratePerSecond: RATE, seed: 31 }, async (pipeline, folder) => {
      await wait(4_000)
      await fault(pipeline, folder)
      await wait(4_000)
      const { ledger } = await expectBalanced(pipeline)
      expect(ledger.produced).toBeGreaterThan(RATE * 8)
      expect(ledger.deadLettered).toBe(0)
    }),
  )

/** A window rests for 10 s before it is recomputed, and one of a minute is in doubt until that minute is over. */
const REPAIRED_MS_MAX = 120_000

test.each([
  ['the checkpoint is lost', false],
  ['checkpoint and NATS are lost together', true],
])(
  '%s: the account is right, no window is overwritten from a part of its readings, and all are right in the end',
  { timeout: 300_000 },
  (_, natsToo) =>
    withPipeline({ ratePerSecond: RATE, seed: 32 }, async (pipeline, folder) => {
      const { processor, nats } = pipeline
      await wait(12_000)
      await lose(processor, join(folder, 'checkpoints'))
      if (natsToo) {
        await lose(nats, join(folder, 'jetstream'))
        await start(nats)
      }
      const before = await countsOf(pipeline)
      await start(processor)
      // Long enough for a whole window of 10 s that begins after the loss, wherever it came.
      await wait(22_000)
      const { ledger } = await expectBalanced(pipeline)
      expect(ledger.deadLettered).toBe(0)
      const account = await askJson<{ agents: { site: string; epochs: { recovered: number; inDoubt: boolean }[] }[] }>(
        `${pipeline.urls.processor}/account`,
      )
      const epochs = account?.agents.flatMap((agent) => agent.epochs) ?? []
      expect(
        account?.agents.filter(({ site, epochs: all }) => site === SITE && all.some(({ inDoubt }) => inDoubt)),
      ).toEqual([])
      const recovered = epochs.reduce((sum, { recovered: readings }) => sum + readings, 0)
      // With NATS gone, too, the gateway sends all again that it has: from the first batch on when it has trimmed nothing yet.
      if (!natsToo) expect(recovered).toBeGreaterThan(RATE * 5)
      const after = await countsOf(pipeline)
      const shrunk = [...before].filter(([key, count]) => (after.get(key) ?? 0) < count)
      expect(shrunk).toEqual([])
      // What the state knows all of is written as ever.
      expect([...after.keys()].filter((key) => !before.has(key)).length).toBeGreaterThan(0)
      const dirty = async () => (await askJson<{ count: number }>(`${pipeline.urls.processor}/dirty`))?.count
      for (let waited = 0; waited < REPAIRED_MS_MAX && (await dirty()) !== 0; waited += 500) await wait(500)
      expect(await dirty()).toBe(0)
      const status = await askJson<{ repair: { repaired: number } }>(`${pipeline.urls.processor}/status`)
      if (recovered > RATE) expect(status?.repair.repaired).toBeGreaterThan(0)
      const { fields, wrong } = await checkWindows(pipeline, AbortSignal.timeout(60_000))
      expect(wrong.slice(0, 5)).toEqual([])
      expect(fields).toBeGreaterThan(100)
    }),
)

/** Window and device → readings in it. */
async function countsOf(pipeline: Pipeline): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  const text = `SELECT * FROM "rollup"./^(vibration|climate|power|tank)_(10s|1m)$/ GROUP BY "site", "device"`
  for (const { name, tags, columns, values } of await pipeline.query(text, AbortSignal.timeout(30_000)))
    for (const row of values)
      counts.set(
        `${name} ${tags?.['device']} ${row[0]}`,
        Math.max(...columns.map((column, i) => (column.endsWith('_count') ? Number(row[i] ?? 0) : 0))),
      )
  return counts
}
