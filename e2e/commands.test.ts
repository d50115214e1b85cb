/** The reading commands against a pipeline on a rough day: what they print agrees with the simulator's ledger. */
import { join } from 'node:path'
import { readLedger } from '@tributary/firmware-sim'
import type { DeadLetter } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { repositoryFolder } from '@tributary/stack'
import { expect, test } from 'vitest'
import { runTributary } from './harness/run-tributary.ts'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

interface Groups {
  groups: { stage: string; reason: string; letters: number; readings: number; exampleId: string }[]
}

test('ledger, status and dlq tell what happened, to the reading', { timeout: 180_000 }, () =>
  withPipeline(
    { scenarioFile: join(repositoryFolder, 'e2e', 'scenarios', 'rough.yaml'), seed: 21 },
    async (pipeline) => {
      await systemClock.sleep(12_000)
      const { ledger } = await expectBalanced(pipeline)
      const refused = new Map<string, number>()
      for await (const sample of readLedger(pipeline.ledgerFolder))
        for (const { reason } of sample.refused) refused.set(reason, (refused.get(reason) ?? 0) + 1)
      const refusedTotal = [...refused.values()].reduce((a, b) => a + b, 0)
      expect(refused.size).toBe(4)
      expect(ledger.deadLettered).toBe(refusedTotal)

      const nats = ['--nats', pipeline.nats.url]
      const { groups } = JSON.parse((await runTributary(['dlq', 'list', '--json', ...nats])).stdout) as Groups
      for (const [reason, readings] of refused)
        expect(groups.find((g) => g.stage === 'contract' && g.reason === reason)?.readings, reason).toBe(readings)
      const atTheEdge = groups.filter((g) => g.stage === 'edge')
      expect(atTheEdge.length).toBeGreaterThan(0)
      expect(atTheEdge.map((g) => g.reason)).toContain('bad_checksum')

      // one letter, three ways
      const { letters } = JSON.parse(
        (await runTributary(['dlq', 'list', '--json', '--reason', 'out_of_range', ...nats])).stdout,
      ) as { letters: DeadLetter[] }
      const [letter] = letters as [DeadLetter]
      expect(letter).toMatchObject({
        stage: 'contract',
        device: 'thermometer-2',
        kind: 'climate',
        field: 'temperature_c',
      })
      const text = await runTributary(['dlq', 'show', letter.id, ...nats])
      expect(text.stdout).toContain('out_of_range')
      expect(text.stdout).toContain(Buffer.from(letter.original, 'base64').toString('utf8'))
      const raw = await runTributary(['dlq', 'show', '--raw', letter.id, ...nats])
      expect(JSON.parse(raw.stdout)).toHaveProperty('times')
      const absent = await runTributary(['dlq', 'show', 'no-such-letter', ...nats])
      expect([absent.code, absent.stderr]).toEqual([2, expect.stringContaining('dlq list')])

      const first = await runTributary(['dlq', 'list', '--json', '--reason', letter.reason, '--limit', '1', ...nats])
      expect(JSON.parse(first.stdout)).toMatchObject({ letters: [letter], more: letters.length - 1 })
      expect((await runTributary(['dlq', 'list', '--reason', letter.reason, '--limit', 'abc', ...nats])).code).toBe(2)
      const nowhere = await runTributary(['dlq', 'requeue', '--all', '--nats', 'nats://127.0.0.1:1'])
      expect([nowhere.code, nowhere.stdout]).toEqual([2, ''])

      const processor = ['--processor', pipeline.urls.processor]
      const account = JSON.parse((await runTributary(['ledger', '--json', ...processor])).stdout) as {
        agents: {
          agent: string
          produced: number
          stored: number
          deadLettered: number
          shed: number
          inFlight: number
          missing: number
        }[]
      }
      for (const a of account.agents)
        expect(a.produced, a.agent).toBe(a.stored + a.deadLettered + a.shed + a.inFlight + a.missing)
      const own = account.agents.filter((a) => a.agent === 'agent-1' || a.agent === 'agent-2')
      expect(own.reduce((sum, a) => sum + a.deadLettered, 0)).toBe(refusedTotal)
      const table = await runTributary(['ledger', ...processor])
      expect(table.code).toBe(0)
      expect(table.stdout).toMatch(/agent\s+produced\s+stored\s+dead-lettered\s+shed\s+in flight\s+missing/)

      const status = JSON.parse(
        (
          await runTributary([
            'status',
            '--json',
            '--agent',
            pipeline.urls.agents[0] as string,
            '--gateway',
            pipeline.urls.gateway,
            ...processor,
          ])
        ).stdout,
      ) as {
        agents: { status: { connected: boolean; inputs: { name: string; deadLetters: number }[] } }[]
        gateways: { status: { natsConnected: boolean } }[]
        processors: { status: { influx: { ok: boolean } } }[]
      }
      expect(status.agents[0]?.status.connected).toBe(true)
      expect(status.agents[0]?.status.inputs.find((i) => i.name === 'thermometer-1')?.deadLetters).toBeGreaterThan(0)
      expect(status.gateways[0]?.status.natsConnected).toBe(true)
      expect(status.processors[0]?.status.influx.ok).toBe(true)
      const people = await runTributary([
        'status',
        '--agent',
        pipeline.urls.agents[0] as string,
        '--gateway',
        pipeline.urls.gateway,
        ...processor,
      ])
      expect([people.code, people.stdout]).toEqual([
        0,
        expect.stringMatching(/agent agent-1: connected[\s\S]*gateway gateway-1[\s\S]*processor processor-1/),
      ])

      // the same account and the alert are in the database, for the dashboards
      const stored = await pipeline.query(
        `SELECT last("produced") AS "produced", last("missing") AS "missing" FROM "account" GROUP BY "device"`,
      )
      expect(stored.map((s) => s.tags?.['device'])).toEqual(expect.arrayContaining(['agent-1', 'agent-2']))
      const alerts = await pipeline.query(`SELECT "state", "message" FROM "alert" WHERE "device" = 'pump-1'`)
      expect(alerts.flatMap((s) => s.values.map((row) => row[1]))).toContain('firing')
    },
  ),
)
