/** What every notifier promises that talks to a server; each passes this suite, against a real server that misbehaves. */
import { PermanentError, systemClock } from '@tributary/runtime'
import { afterEach, describe, expect, test } from 'vitest'
import { exampleNotification } from './example-notification.ts'
import type { Notifier } from './notifier.ts'

/** For one attempt of the notifiers that are tested. */
export const ATTEMPT_MS = 2_000

export interface MisbehavingServer {
  readonly address: string
  /** What it took, in order: each text contains the key. */
  taken(): readonly string[]
  close(): Promise<void>
}

/** @typeParam B how the server behaves with one attempt */
export interface ConformanceOptions<B> {
  readonly start: (behave: (n: number) => B) => Promise<MisbehavingServer>
  /** A notifier for the server at this address, which gives up an attempt after `ATTEMPT_MS`. */
  readonly create: (address: string) => Notifier
  /** How the server says: taken; never; later; and how it says nothing. */
  readonly taken: B
  readonly never: readonly B[]
  readonly later: readonly B[]
  readonly hang: B
}

export function describeNotifier<B>(
  name: string,
  { start, create, taken, never, later, hang }: ConformanceOptions<B>,
): void {
  describe(`${name} conforms`, () => {
    let server: MisbehavingServer | undefined
    afterEach(() => server?.close())
    const outcomeOf = async (behaviour: B) => {
      await server?.close()
      server = await start(() => behaviour)
      return create(server.address)
        .send(exampleNotification(), new AbortController().signal)
        .then(
          () => 'taken',
          (error: unknown) => (error instanceof PermanentError ? 'never' : error instanceof Error ? 'later' : error),
        )
    }

    test('resolves when the receiver has taken it, and says what it answered', async () => {
      server = await start(() => taken)
      const answer = await create(server.address).send(exampleNotification(), new AbortController().signal)
      expect(answer).toContain('127.0.0.1')
      expect(server.taken().length).toBe(1)
    })
    for (const behaviour of never)
      test(`rejects for good on ${JSON.stringify(behaviour)}`, async () => {
        expect(await outcomeOf(behaviour)).toBe('never')
      })
    for (const behaviour of [...later, hang])
      test(`wants another attempt on ${JSON.stringify(behaviour)}`, async () => {
        expect(await outcomeOf(behaviour)).toBe('later')
      })
    test('wants another attempt when nobody listens, and names the host', async () => {
      const gone = await start(() => taken)
      await gone.close()
      const sent = create(gone.address).send(exampleNotification(), new AbortController().signal)
      await expect(sent).rejects.toThrow(/127\.0\.0\.1/)
      await expect(sent).rejects.not.toBeInstanceOf(PermanentError)
    })
    test('lets go at once when it is told to stop', async () => {
      server = await start(() => hang)
      const stopping = new AbortController()
      const fromMs = systemClock.monotonicMs()
      const sent = create(server.address).send(exampleNotification(), stopping.signal)
      systemClock.after(50, () => stopping.abort(new DOMException('stopped', 'AbortError')))
      await expect(sent).rejects.toThrow('stopped')
      expect(systemClock.monotonicMs() - fromMs).toBeLessThan(ATTEMPT_MS * 0.9)
    })
    test('a misbehaving receiver gets everything in the end, recognisable by its key', async () => {
      const bad = [later[0] ?? hang, later.at(-1) ?? hang] as const
      server = await start((n) => bad[n % 3] ?? taken)
      const notifier = create(server.address)
      const keys = [...Array(10).keys()].map((i) => `episode-${i}/firing`)
      for (const key of keys)
        for (let attempt = 0; attempt < 10; attempt++) {
          const sent = notifier.send({ ...exampleNotification(), key }, new AbortController().signal)
          if (await sent.then(() => true).catch(() => false)) break
        }
      expect(server.taken().map((text) => keys.findIndex((key) => text.includes(key)))).toEqual([...keys.keys()])
    })
  })
}
