/** A contract that was too tight: what it refused is taken in after all, once, and the account is as if nothing had been wrong. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { readDeadLetters } from '@tributary/cloud-processor'
import type { DeadLetter } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { repositoryFolder, takeAccount } from '@tributary/stack'
import { expect, test } from 'vitest'
import { expectWindows, windowsOfLedger } from './harness/expect-windows.ts'
import { runTributary } from './harness/run-tributary.ts'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

interface Report {
  letters: number
  readings: number
  stored: number
  refused: number
  dropped: number
  unchanged: number
  unanswered: number
  obstacles: { exampleDetail: string }[]
}
interface Row {
  produced: number
  stored: number
  deadLettered: number
  shed: number
  inFlight: number
  missing: number
}

/** Of the air's pressure: whoever wrote the contract took the thermometers for some on a mountain. */
const TOO_TIGHT = 'range: [300, 900]'
const RIGHT = 'range: [300, 1100]'

test('a range is too tight, is corrected, and what it refused is requeued: two ask at once, the processor is killed meanwhile, each reading is stored once', {
  timeout: 300_000,
}, async () => {
  const contractsFolder = await mkdtemp(join(tmpdir(), 'tributary-contracts-'))
  await cp(join(repositoryFolder, 'contracts'), contractsFolder, { recursive: true })
  const climate = join(contractsFolder, 'climate.yaml')
  const right = await readFile(climate, 'utf8')
  const tight = right.replace(RIGHT, TOO_TIGHT)
  expect(tight).not.toBe(right)
  await writeFile(climate, tight)
  await withPipeline({ seed: 5, contractsFolder }, async (pipeline) => {
    await systemClock.sleep(18_000)
    const before = await expectBalanced(pipeline)
    const { produced, deadLettered } = before.ledger
    expect(deadLettered).toBeGreaterThan(10)

    const nats = ['--nats', pipeline.nats.url]
    const dlq = async (args: readonly string[]): Promise<Report> => {
      const { code, stdout, stderr } = await runTributary(['dlq', ...args, '--json', ...nats])
      expect([code, stderr.replace(/^\d.*letters …\n/gm, '')], args.join(' ')).toEqual([0, ''])
      return JSON.parse(stdout) as Report
    }
    const queue = async (): Promise<DeadLetter[]> => {
      const connection = await connect({ servers: pipeline.nats.url })
      const letters: DeadLetter[] = []
      try {
        for await (const letter of readDeadLetters(connection)) letters.push(letter)
      } finally {
        await connection.close()
      }
      return letters
    }
    const account = async (): Promise<Row> => {
      const { stdout } = await runTributary(['ledger', '--json', '--processor', pipeline.urls.processor])
      return (JSON.parse(stdout) as { total: Row }).total
    }
    const refused = ['requeue', '--reason', 'out_of_range', '--kind', 'climate']
    const letters = await queue()
    expect(letters.reduce((sum, { readingCount }) => sum + readingCount, 0)).toBe(deadLettered)

    // A look ahead, by the contract that is and by the one that is to be.
    expect(await dlq([...refused, '--dry-run', '--contracts', contractsFolder])).toMatchObject({
      letters: letters.length,
      readings: deadLettered,
      stored: 0,
      refused: deadLettered,
    })
    expect(await dlq([...refused, '--dry-run', '--contracts', join(repositoryFolder, 'contracts')])).toMatchObject({
      stored: deadLettered,
      refused: 0,
    })
    expect(await queue()).toEqual(letters)

    // Nothing was corrected: everything is refused again, under the same ids.
    expect(await dlq(refused)).toMatchObject({ stored: 0, refused: deadLettered, unchanged: 0, unanswered: 0 })
    const again = await queue()
    expect(again.map(({ id, requeued }) => [id, requeued]).sort()).toEqual(letters.map(({ id }) => [id, 1]).sort())
    expect((await takeAccount(pipeline, AbortSignal.timeout(60_000))).ledger).toEqual(before.ledger)

    await pipeline.processor.stop()
    await writeFile(climate, right)
    await pipeline.processor.start(AbortSignal.timeout(60_000))
    const [one, ...others] = again as [DeadLetter, ...DeadLetter[]]
    expect(await dlq(['drop', one.id, '--dry-run'])).toMatchObject({ letters: 1, dropped: one.readingCount })
    expect(await queue()).toHaveLength(again.length)
    expect(await dlq(['drop', one.id, '--yes'])).toMatchObject({ letters: 1, dropped: one.readingCount, unanswered: 0 })
    const left = deadLettered - one.readingCount
    // A processor takes its time to start on a busy machine, three times.
    const patient = [...refused, '--wait', '120s']
    const asking = Promise.all([dlq(patient), dlq(patient)])
    for (let kills = 0; kills < 3; kills++) {
      await systemClock.sleep(900)
      await pipeline.processor.kill()
      await pipeline.processor.start(AbortSignal.timeout(60_000))
    }
    const [first, second] = await asking
    expect(first.stored + second.stored).toBe(left)
    expect([first.refused, second.refused, first.unanswered, second.unanswered]).toEqual([0, 0, 0, 0])
    expect(await queue()).toEqual([])
    expect(others.length).toBeGreaterThan(0)

    const after = await takeAccount(pipeline, AbortSignal.timeout(60_000))
    expect({ examples: after.examples, ...after.ledger }).toMatchObject({
      examples: [],
      produced,
      stored: produced - one.readingCount,
      deadLettered: one.readingCount,
      missing: 0,
      duplicates: 0,
      wrong: 0,
      inFlight: 0,
    })
    const total = await account()
    expect(total).toMatchObject({ deadLettered: one.readingCount, missing: 0, shed: 0 })
    expect(total.produced).toBe(total.stored + total.deadLettered + total.inFlight)
    // What was requeued is in its windows, what was dropped is not; those that are older than memory are recomputed first.
    expect((await windowsOfLedger(pipeline)).wrong).toEqual([])
    await expectWindows(pipeline)
    const ofDropped = await runTributary(['dlq', 'show', one.id, ...nats])
    expect([ofDropped.code, ofDropped.stderr]).toEqual([
      2,
      expect.stringContaining('not in the queue any more: it was dropped'),
    ])
    const [other] = others as [DeadLetter]
    const ofStored = await runTributary(['dlq', 'show', other.id, ...nats])
    expect(ofStored.stderr).toMatch(/not in the queue any more: \d+ readings of it were stored/)
    const gone = await runTributary(['dlq', 'requeue', one.id, ...nats])
    expect([gone.code, gone.stderr]).toEqual([2, expect.stringContaining('not in the queue')])
  })
  await rm(contractsFolder, { recursive: true, force: true })
})
