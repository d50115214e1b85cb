/** The site view is killed and flooded beside a pipeline under load: the account does not notice, and neither does the way of a reading. */
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import {
  createLatencyObserver,
  floodSiteView,
  killSiteView,
  type Pipeline,
  siteViewIsThere,
  siteViewPid,
} from '@tributary/stack'
import { describe, expect, test } from 'vitest'
import { runTributary, until } from './harness/run-tributary.ts'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

const RATE = 1_000
const KINDS = ['climate', 'vibration', 'power', 'tank']
const MEASURED_MS = 15_000
const MIB = 2 ** 20

interface Pace {
  /** From measurement to queryable, ms. */
  readonly p50: number
  readonly p99: number
  /** Of batches at the gateway, from receipt to fsync: the upper bound of the histogram's bucket, ms. */
  readonly ingestP99: number
}

/** How the readings go while the work does. */
async function paceDuring(pipeline: Pipeline, work: Promise<unknown>): Promise<Pace> {
  const before = await appendBuckets(pipeline)
  const ending = new AbortController()
  const observer = createLatencyObserver(pipeline.query, KINDS, systemClock)
  const observing = observer.run(ending.signal)
  await work
  ending.abort()
  await observing
  const appended = (await appendBuckets(pipeline)).map(
    ([bound, count], i) => [bound, count - (before[i]?.[1] ?? 0)] as const,
  )
  const all = appended.at(-1)?.[1] ?? 0
  const ms = (quantile: number) => Math.round(observer.quantile(quantile) ?? Number.NaN)
  const ingestP99 = (appended.find(([, count]) => count >= all * 0.99)?.[0] ?? Number.NaN) * 1_000
  return { p50: ms(0.5), p99: ms(0.99), ingestP99 }
}

/** Upper bound in seconds, and how many batches lie below it. */
async function appendBuckets({ urls }: Pipeline): Promise<[bound: number, count: number][]> {
  const text = await (await fetch(`${urls.gateway}/metrics`)).text()
  const lines = text.matchAll(/^tributary_gateway_append_seconds_bucket\{.*le="([^"]+)".*\} (\d+)$/gm)
  return [...lines].map(([, bound, count]) => [
    bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound),
    Number(count),
  ])
}
const say = ({ p50, p99, ingestP99 }: Pace) => `${p50}/${p99} ms, p99 of ingest within ${ingestP99} ms`

const rssOf = async (pid: number): Promise<number> =>
  Number(/^VmRSS:\s+(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
const passwordOf = async ({ gateway }: Pipeline) =>
  /log in as admin with the password (\S+)/.exec(await readFile(gateway.logFile, 'utf8'))?.[1] as string

describe('the site view beside a gateway under load', () => {
  test(
    'killed -9 and flooded: the account balances, the way of a reading is as long as before',
    { timeout: 240_000 },
    () =>
      withPipeline({ ratePerSecond: RATE, seed: 21, siteView: true }, async (pipeline) => {
        const signal = AbortSignal.timeout(200_000)
        await siteViewIsThere(pipeline, undefined, signal)
        await systemClock.sleep(8_000)
        const before = await paceDuring(pipeline, systemClock.sleep(MEASURED_MS))

        const first = await siteViewPid(pipeline)
        const during = await paceDuring(
          pipeline,
          Promise.all([killSiteView(pipeline, signal), systemClock.sleep(MEASURED_MS)]),
        )
        const second = (await siteViewPid(pipeline)) as number
        expect(second).not.toBe(first)

        const flood = floodSiteView(pipeline, MEASURED_MS, signal)
        const flooded = await paceDuring(pipeline, flood)
        const { requests, derived, refused } = await flood
        const rssBytes = await rssOf(second)
        expect(await siteViewPid(pipeline), 'it lives through the flood').toBe(second)
        console.log(
          `measured to queryable, p50/p99: ${say(before)} before; ${say(during)} while killed and started again; ${say(flooded)} while flooded
flood: ${requests} requests, ${derived} derived readings taken, ${refused} refused; the site view has ${Math.round(rssBytes / MIB)} MiB resident`,
        )
        expect(requests).toBeGreaterThan(200)
        expect(refused).toBeGreaterThan(derived)
        expect(rssBytes).toBeLessThan(400 * MIB)
        for (const { p99 } of [during, flooded]) expect(p99).toBeLessThan(before.p99 * 1.5 + 500)

        const { ledger } = await expectBalanced(pipeline)
        expect(ledger.deadLettered).toBe(0)
        const { stdout } = await runTributary(['ledger', '--json', '--processor', pipeline.urls.processor])
        const { agents } = JSON.parse(stdout) as { agents: { agent: string; produced: number; stored: number }[] }
        const own = agents.find(({ agent }) => agent === 'gateway-1-site')
        expect(own, 'what was taken is stored').toMatchObject({ produced: derived, stored: derived })
      }),
  )

  test('is told a password once, and a flow with a loop takes itself down and nobody else', {
    timeout: 240_000,
  }, async () => {
    const dataFolder = await mkdtemp(join(tmpdir(), 'tributary-e2e-'))
    await mkdir(join(dataFolder, 'site-view'))
    const loop = [
      { id: 'tab', type: 'tab', label: 'loop' },
      { id: 'in', type: 'tributary in', z: 'tab', kind: '', device: '', every: 0.1, fold: 'last', wires: [['loop']] },
      {
        id: 'loop',
        type: 'function',
        z: 'tab',
        func: 'const kept = []; for (;;) kept.push(new Array(100).fill(Math.random()))',
        outputs: 1,
        libs: [],
        wires: [[]],
      },
    ]
    await writeFile(join(dataFolder, 'site-view', 'flows.json'), JSON.stringify(loop))
    await withPipeline({ dataFolder, ratePerSecond: RATE, seed: 22, siteView: true }, async (pipeline) => {
      const restarts = async () => {
        const metrics = await (await fetch(`${pipeline.urls.gateway}/metrics`)).text()
        return Number(/site_view_restarts_total\{[^}]*\} (\d+)/.exec(metrics)?.[1] ?? 0)
      }
      await until(async () => (await restarts()) >= 2, 'it ran out of memory twice', 120_000)
      const { ledger } = await expectBalanced(pipeline)
      expect(ledger.produced).toBeGreaterThan(RATE * 6)
      expect((await passwordOf(pipeline)).length).toBeGreaterThanOrEqual(20)
    })
  })
})

describe('without Node-RED, or with a mistake', () => {
  test('`tributary site-view` says what is missing', async () => {
    const { code, stderr } = await runTributary(['site-view'])
    expect(code).toBe(2)
    expect(stderr).toContain('--config')
  })
})
