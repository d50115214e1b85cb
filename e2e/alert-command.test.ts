/** `tributary alert` and `anomaly` against a running pipeline: what fires is listed, acknowledged, silenced; a receiver is tried. */
import { join } from 'node:path'
import { repositoryFolder } from '@tributary/stack'
import { expect, test } from 'vitest'
import { runTributary } from './harness/run-tributary.ts'
import { withPipeline } from './harness/with-pipeline.ts'

interface Listed {
  alerts: {
    episode: string
    state: string
    device: string
    rule: string
    told: string[]
    acknowledged: { by: string } | null
  }[]
  unanswered: number[]
}

test(
  'alerts are listed, acknowledged and silenced; receivers are tried; anomalies are judged',
  { timeout: 300_000 },
  () =>
    withPipeline(
      {
        scenarioFile: join(repositoryFolder, 'e2e', 'scenarios', 'rough.yaml'),
        seed: 21,
        // It is open for as long as a busy machine takes for all these commands.
        alertRules: { rules: [{ name: 'hot', match: { detector: 'threshold' }, keep_firing_for: '10m' }] },
      },
      async (pipeline) => {
        const run = (...given: string[]) => runTributary([...given, '--nats', pipeline.nats.url])
        const list = async () => JSON.parse((await run('alert', 'list', '--firing', '--json')).stdout) as Listed
        const pump = async () => (await list()).alerts.find(({ device, rule }) => device === 'pump-1' && rule === 'hot')
        await expect.poll(pump, { timeout: 60_000, interval: 500 }).toMatchObject({ state: 'firing', told: ['log'] })
        expect((await list()).unanswered).toEqual([])
        const episode = (await pump())?.episode as string

        const acknowledged = await run('alert', 'ack', episode.slice(0, 10), '--by', 'ann', '--comment', 'on my way')
        expect(acknowledged).toMatchObject({
          code: 0,
          stderr: '',
          stdout: expect.stringContaining(`(${episode}): done`),
        })
        expect((await run('alert', 'list')).stdout).toContain('acknowledged by ann')
        const again = await run('alert', 'ack', episode, '--by', 'bob')
        expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('nothing to do, ann acknowledged it')])
        const unknown = await run('alert', 'ack', 'ffffffffffffffff')
        expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('`tributary alert list`')])

        const silence = await run('alert', 'silence', '--device', 'pump-*', '--for', '1h', '--comment', 'x', '--json')
        const { id, ...said } = JSON.parse(silence.stdout)
        expect(said).toEqual({ outcome: 'done', detail: '', unanswered: 0 })
        expect(JSON.parse((await run('alert', 'silence', 'list', '--json')).stdout).silences).toMatchObject([
          { id, match: { device: ['pump-*'] }, comment: 'x' },
        ])
        expect((await run('alert', 'silence', 'end', id)).stdout).toContain('done')
        expect((await run('alert', 'silence', 'list')).stdout).toBe('no silence is in force\n')
        expect((await run('alert', 'silence')).code).toBe(2)

        expect((await run('alert', 'test', 'log')).stdout).toMatch(/^log took it after \d+ ms/)
        const nobody = await run('alert', 'test', 'nobody')
        expect([nobody.code, nobody.stderr]).toEqual([2, expect.stringContaining('its receivers are log')])

        const { anomalies } = JSON.parse((await run('anomaly', 'list', '--device', 'pump-1', '--json')).stdout)
        const explicit = anomalies.find(({ detector }: { detector: string }) => detector.startsWith('threshold'))
        expect(explicit).toMatchObject({ component: '', expected: null, upper: expect.any(Number) })
        expect((await run('anomaly', 'list')).stdout).toMatch(/^id .* detector +component +score +message/)
        const refused = await run('anomaly', 'dismiss', explicit.id)
        expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('learns nothing')])
        const tooLong = await run('alert', 'silence', '--device', 'x', '--for', '12000h', '--comment', 'y'.repeat(501))
        expect([tooLong.code, tooLong.stderr]).toEqual([
          2,
          expect.stringMatching(/--comment must have at most 500 characters; --for must be a year at most/),
        ])

        await pipeline.processor.stop()
        const unheard = await run('alert', 'silence', '--device', 'pump-1', '--for', '1h', '--wait', '1s')
        expect([unheard.code, unheard.stdout]).toEqual([
          1,
          expect.stringMatching(
            /16 partitions did not answer: the request waits .* makes a second silence; .* end \w{8}` takes/,
          ),
        ])
        const nobodyThere = await run('alert', 'list')
        expect([nobodyThere.code, nobodyThere.stderr]).toEqual([2, expect.stringContaining('no processor answers')])
        await pipeline.processor.start(AbortSignal.timeout(60_000))
        const inForce = async () =>
          JSON.parse((await run('alert', 'silence', 'list', '--json')).stdout || '{}').silences
        await expect.poll(inForce, { timeout: 30_000 }).toMatchObject([{ match: { device: ['pump-1'] } }])

        const nowhere = await runTributary(['alert', 'list', '--nats', 'nats://127.0.0.1:1'])
        expect([nowhere.code, nowhere.stdout]).toEqual([2, ''])
      },
    ),
)
