/** The account itself is tested: what is taken away from the store, doubled or changed behind its back, it finds, to the reading. */
import { systemClock } from '@tributary/runtime'
import { takeAccount } from '@tributary/stack'
import { expect, test } from 'vitest'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

test('the account notices what is missing, doubled and wrong', { timeout: 120_000 }, () =>
  withPipeline({ ratePerSecond: 500, seed: 3 }, async (pipeline) => {
    await systemClock.sleep(4_000)
    const before = (await expectBalanced(pipeline)).ledger
    const signal = AbortSignal.timeout(60_000)
    const [tank] = await pipeline.query(`SELECT * FROM "tank" WHERE "device" = 'tank-1' ORDER BY time`)
    const rows = tank?.values ?? []
    const column = (name: string) => tank?.columns.indexOf(name) ?? -1
    const fieldsPerSample = 5

    const [first, second, third] = rows as [unknown[], unknown[], unknown[]]
    const tags = `tank,site=${first[column('site')]},device=tank-1`
    const write = async (line: string) => {
      const response = await fetch(`${pipeline.influx.url}/write?db=tributary&precision=ms`, {
        method: 'POST',
        body: line,
      })
      expect(response.status).toBe(204)
    }
    // one value changed, one sample stored again under another time, one sample gone
    await write(`${tags} volume_litres=-1 ${first[0]}`)
    await write(
      `${tags} level_percent=${second[column('level_percent')]},sequence=${second[column('sequence')]}i ${(second[0] as number) + 1}`,
    )
    await pipeline.query(`DELETE FROM "tank" WHERE "device" = 'tank-1' AND time = ${third[0]}ms`)

    const { ledger, examples } = await takeAccount(pipeline, signal)
    expect(ledger).toEqual({
      ...before,
      stored: before.stored - fieldsPerSample - 1,
      missing: fieldsPerSample + 1,
      wrong: 1,
      duplicates: 2,
    })
    expect(examples.join('\n')).toMatch(/tank-1 volume_litres, sequence \d+: stored -1, measured/)
    expect(examples.join('\n')).toMatch(/is stored twice/)
    expect(examples.join('\n')).toMatch(/tank-1 state, sequence \d+, measured at .*: missing/)
  }),
)
