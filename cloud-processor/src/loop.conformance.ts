/** What the numbered lines of the loop promise, whatever its checkpoint is kept in. */
import { expect, test } from 'vitest'
import { TakenOverError } from './checkpoint.ts'
import { begin, live, summary, type World } from './loop-harness.ts'
import { encodeState } from './state-codec.ts'
import { contextOf } from './testing.ts'

/** The numbered lines, and the claim. */
const LINES = ['claim', 'lines', 'letters', 'checkpoint', 'acknowledgement']

/** @param createWorld an empty one, in which a life is struck before (even) or after (odd) operation `strikeAt / 2` */
export function loopConformance(createWorld: (strikeAt: number) => Promise<World>): void {
  const calmly = async () => {
    const world = await createWorld(Number.POSITIVE_INFINITY)
    const account = await live(world, contextOf())
    if (account === 'struck') throw new Error('nobody is to be struck')
    return { world, expected: summary(world, account) }
  }

  test('killed before and after each numbered line: the same store, the same dead letters, the same account', async () => {
    const { world: calm, expected } = await calmly()
    expect(expected.account).toMatchObject([{ produced: 120, stored: 117, deadLettered: 3, inFlight: 0, missing: 0 }])
    expect(expected.letters).toHaveLength(3)
    expect(expected.store.filter(([key]) => key.startsWith('mixed_10s'))).toHaveLength(6)
    expect(calm.stream.size).toBe(0)
    let deaths = 0
    const isKilled = async (strikeAt: number | string): Promise<boolean> => {
      const world = await createWorld(Number.NaN)
      world.strikeAt = strikeAt
      if ((await live(world, contextOf())) !== 'struck') return false
      deaths += 1
      const account = await live(world, contextOf())
      if (account === 'struck') throw new Error('died twice')
      expect(summary(world, account), `killed ${world.struckAt} (${strikeAt})`).toEqual(expected)
      expect(world.stream.size).toBe(0)
      return true
    }
    // By name, since what is done at the same time is not always numbered alike.
    for (const line of LINES)
      for (const when of ['before', 'after']) expect(await isKilled(`${when} ${line}`), `${when} ${line}`).toBe(true)
    // How many checkpoints there are depends on how long they take: the last deaths may have nothing to interrupt.
    for (let strikeAt = 0, survivals = 0; survivals < 6; strikeAt++) if (!(await isKilled(strikeAt))) survivals += 1
    expect(deaths).toBeGreaterThan(60)
  }, 300_000)

  test('standing still at each of them while a successor does its work: it is refused, and tells and saves nothing more', async () => {
    const { expected } = await calmly()
    const seen = { refused: 0, 'had nothing left to do': 0 }
    for (let strikeAt = 0; ; strikeAt++) {
      const world = await createWorld(strikeAt)
      let release: () => void = () => undefined
      world.standing = new Promise((resolve) => {
        release = resolve
      })
      const first = begin(world, contextOf())
      if ((await first.outcome) !== 'struck') {
        if (strikeAt >= 2 * world.operations) break
        continue // an acknowledgement: nobody stands still there
      }
      const hadClaimed = first.claims > 0
      const toldBefore = first.told.length
      const second = begin(world, contextOf())
      const account = await second.outcome
      const where = `stood still ${world.struckAt} (${strikeAt})`
      if (account === 'struck') throw new Error(where)
      expect(summary(world, account), where).toEqual(expected)

      release()
      const end = await first.end.catch((error: unknown) => error)
      const isRefused = end instanceof TakenOverError
      if (!isRefused && !Array.isArray(end)) throw end
      seen[isRefused ? 'refused' : 'had nothing left to do'] += 1
      const told = first.told.slice(toldBefore)
      // Where the checkpoint was saved before the successor took it over, what follows from it may still be said.
      if (hadClaimed) expect(told.filter((what) => what === 'offered').length, where).toBeLessThanOrEqual(1)
      if (/lines|letters|before checkpoint/.test(world.struckAt)) expect(told, where).toEqual([])
      if (hadClaimed) {
        const newest = await world.openCheckpoints(world, 'a reader', async (_, work) => work()).load()
        expect(Buffer.from(newest.bytes ?? []).equals(encodeState(second.loop.state)), where).toBe(true)
        expect(newest.isOlder).toBe(false)
      }
      const after = summary(world, account)
      // A write that was on its way reaches the store late, and a window in it is as its writer knew it: the database knows no fencing.
      const isRaw = ([key]: [string, string]) => key.startsWith('mixed,')
      if (world.struckAt === 'before lines')
        expect({ ...after, store: after.store.filter(isRaw) }, where).toEqual({
          ...expected,
          store: expected.store.filter(isRaw),
        })
      else expect(after, where).toEqual(expected)
    }
    expect(seen.refused).toBeGreaterThan(25)
  }, 300_000)

  test('one that began earlier claims the partition later: the later one takes it back', async () => {
    const { expected } = await calmly()
    const world = await createWorld(Number.NaN)
    const standing = async (strikeAt: string) => {
      let release: () => void = () => undefined
      world.standing = new Promise((resolve) => {
        release = resolve
      })
      world.strikeAt = strikeAt
      const life = begin(world, contextOf())
      expect(await life.outcome).toBe('struck')
      return { life, release }
    }
    const elder = await standing('before claim')
    const younger = await standing('before checkpoint')
    elder.release()
    await elder.life.end
    younger.release()
    const account = await younger.life.end
    expect(younger.life.claims).toBe(2)
    expect(summary(world, account)).toEqual(expected)
  }, 60_000)
}
