/** What every store of checkpoints must do, whatever it is kept in. */
import { expect, test } from 'vitest'
import { type CheckpointStore, TakenOverError } from './checkpoint.ts'

export interface CheckpointWorld {
  /** A store of another processor on the same partition. */
  open(owner: string): CheckpointStore
  /** Damages what `save` wrote last, or everything that is kept. */
  damage(what: 'newest' | 'all'): Promise<void>
}

export const stateOf = (n: number): Buffer => Buffer.from(`state ${n} `.repeat(200 + n))
export const numberIn = (bytes: Uint8Array | undefined): number =>
  bytes === undefined ? 0 : Number(/\d+/.exec(Buffer.from(bytes).toString())?.[0])

/** As a processor starts. @returns the revision */
export async function take(store: CheckpointStore): Promise<number> {
  return (await store.claim(await store.load())).revision
}

export function checkpointConformance(createWorld: () => Promise<CheckpointWorld>): void {
  test('what was saved is loaded, in whole, and again and again', async () => {
    const world = await createWorld()
    const store = world.open('a')
    expect(await store.load()).toEqual({ bytes: undefined, revision: 0, isOlder: false })
    let revision = await take(store)
    for (let n = 1; n <= 5; n++) {
      const next = await store.save(stateOf(n), revision)
      expect(next).toBeGreaterThan(revision)
      revision = next
      const loaded = await world.open('reader').load()
      expect(Buffer.from(loaded.bytes ?? []).equals(stateOf(n))).toBe(true)
      expect(loaded).toMatchObject({ revision, isOlder: false })
    }
  })

  test('a large state, and one that is empty', async () => {
    const world = await createWorld()
    const store = world.open('a')
    const large = Buffer.alloc(1_300_001, 'abcdefghijk')
    const revision = await store.save(large, await take(store))
    expect(Buffer.from((await world.open('b').load()).bytes ?? []).equals(large)).toBe(true)
    await store.save(new Uint8Array(0), revision)
    expect((await world.open('b').load()).bytes).toHaveLength(0)
  })

  test('a processor that was replaced cannot save, whatever it does; its successor can', async () => {
    const world = await createWorld()
    const first = world.open('first')
    const known = await first.save(stateOf(1), await take(first))
    const second = world.open('second')
    const loaded = await second.load()
    expect(numberIn(loaded.bytes)).toBe(1)
    const { revision } = await second.claim(loaded)
    // Also before the second one has saved anything.
    const refusal = await first.save(stateOf(2), known).catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(TakenOverError)
    expect(String(refusal)).toContain('partition 3 was taken over by second')
    await expect(take(first)).rejects.toBeInstanceOf(TakenOverError)
    await second.save(stateOf(3), revision)
    await expect(first.save(stateOf(2), known)).rejects.toBeInstanceOf(TakenOverError)
    expect(numberIn((await world.open('c').load()).bytes)).toBe(3)
  })

  test('the same when there was no checkpoint yet', async () => {
    const world = await createWorld()
    const first = world.open('first')
    const known = await take(first)
    const second = world.open('second')
    const revision = await take(second)
    await expect(first.save(stateOf(1), known)).rejects.toBeInstanceOf(TakenOverError)
    await second.save(stateOf(2), revision)
    expect(numberIn((await world.open('c').load()).bytes)).toBe(2)
  })

  test('what the predecessor saved between load and claim is what the claim gives', async () => {
    const world = await createWorld()
    const first = world.open('first')
    const known = await first.save(stateOf(1), await take(first))
    const second = world.open('second')
    const loaded = await second.load()
    await first.save(stateOf(2), known)
    const claimed = await second.claim(loaded)
    expect(numberIn(claimed.bytes)).toBe(2)
    await second.save(stateOf(3), claimed.revision)
    expect(numberIn((await world.open('c').load()).bytes)).toBe(3)
  })

  test('a store that loads again, as after a step that failed, has the partition still', async () => {
    const world = await createWorld()
    const store = world.open('a')
    await store.save(stateOf(1), await take(store))
    const loaded = await store.load()
    expect(numberIn(loaded.bytes)).toBe(1)
    const { revision } = await store.claim(loaded)
    await store.save(stateOf(2), revision)
    expect(numberIn((await world.open('b').load()).bytes)).toBe(2)
  })

  test('the newest damaged: the one before, said to be older until something is saved', async () => {
    const world = await createWorld()
    const store = world.open('a')
    let revision = await take(store)
    for (let n = 1; n <= 3; n++) revision = await store.save(stateOf(n), revision)
    await world.damage('newest')
    for (const owner of ['b', 'c']) {
      const next = world.open(owner)
      const loaded = await next.load()
      expect(numberIn(loaded.bytes)).toBe(2)
      expect(loaded.isOlder).toBe(true)
      const claimed = await next.claim(loaded)
      expect(claimed).toMatchObject({ bytes: loaded.bytes, isOlder: true })
    }
    const last = world.open('d')
    revision = await take(last)
    for (let n = 10; n <= 12; n++) {
      revision = await last.save(stateOf(n), revision)
      const loaded = await world.open('e').load()
      expect([numberIn(loaded.bytes), loaded.isOlder]).toEqual([n, false])
    }
  })

  test('all damaged: begins anew and goes on', async () => {
    const world = await createWorld()
    const store = world.open('a')
    let revision = await take(store)
    for (let n = 1; n <= 3; n++) revision = await store.save(stateOf(n), revision)
    await world.damage('all')
    const next = world.open('b')
    const loaded = await next.load()
    expect(loaded.bytes).toBeUndefined()
    revision = (await next.claim(loaded)).revision
    for (let n = 7; n <= 9; n++) {
      revision = await next.save(stateOf(n), revision)
      expect(numberIn((await world.open('c').load()).bytes)).toBe(n)
    }
  })
}
