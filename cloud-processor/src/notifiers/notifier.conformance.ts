/** What every notifier promises that talks to a server; each passes this suite, against a real server that misbehaves. */
import { PermanentError, systemClock } from '@tributary/runtime'
import { afterEach, describe, expect, test } from 'vitest'
import { exampleNotification } from './example-notification.ts'
import type { Notifier } from './notifier.ts'
import { type Behaviour, type Receiver, startReceiver } from './receiver.ts'

export interface ConformanceOptions {
  /** A notifier for the server at this address, which gives up an attempt after half a second. */
  readonly create: (url: string) => Notifier
  /** How the server says: taken; never; later. */
  readonly taken: Behaviour
  readonly never: readonly Behaviour[]
  readonly later: readonly Behaviour[]
}

export function describeNotifier(name: string, { create, taken, never, later }: ConformanceOptions): void {
  describe(`${name} conforms`, () => {
    let receiver: Receiver | undefined
    afterEach(() => receiver?.close())
    const outcomeOf = async (behaviour: Behaviour) => {
      await receiver?.close()
      receiver = await startReceiver(() => behaviour)
      return create(receiver.url)
        .send(exampleNotification(), new AbortController().signal)
        .then(
          () => 'taken',
          (error: unknown) => (error instanceof PermanentError ? 'never' : error instanceof Error ? 'later' : error),
        )
    }

    test('resolves when the receiver has taken it', async () => {
      expect(await outcomeOf(taken)).toBe('taken')
      expect(receiver?.taken.length).toBe(1)
    })
    for (const behaviour of never)
      test(`rejects for good on ${JSON.stringify(behaviour)}`, async () => {
        expect(await outcomeOf(behaviour)).toBe('never')
      })
    for (const behaviour of [...later, 'destroy', 'hang'] as const)
      test(`wants another attempt on ${JSON.stringify(behaviour)}`, async () => {
        expect(await outcomeOf(behaviour)).toBe('later')
      })
    test('wants another attempt when nobody listens', async () => {
      const gone = await startReceiver(() => taken)
      await gone.close()
      const sent = create(gone.url).send(exampleNotification(), new AbortController().signal)
      await expect(sent).rejects.toThrow(/127\.0\.0\.1/)
      await expect(sent).rejects.not.toBeInstanceOf(PermanentError)
    })
    test('lets go at once when it is told to stop', async () => {
      receiver = await startReceiver(() => 'hang')
      const stopping = new AbortController()
      const fromMs = systemClock.monotonicMs()
      const sent = create(receiver.url).send(exampleNotification(), stopping.signal)
      systemClock.after(50, () => stopping.abort(new DOMException('stopped', 'AbortError')))
      await expect(sent).rejects.toThrow()
      expect(systemClock.monotonicMs() - fromMs).toBeLessThan(450)
    })
    test('a misbehaving receiver gets everything in the end, recognisable by its key', async () => {
      receiver = await startReceiver((n) => (n % 3 === 0 ? 'destroy' : n % 3 === 1 ? (later[0] ?? 'destroy') : taken))
      const notifier = create(receiver.url)
      const keys = [...Array(10).keys()].map((i) => `episode-${i}/firing`)
      for (const key of keys)
        for (let attempt = 0; attempt < 10; attempt++) {
          const sent = notifier.send({ ...exampleNotification(), key }, new AbortController().signal)
          if (await sent.then(() => true).catch(() => false)) break
        }
      expect(
        receiver.taken.map(({ headers, body }) =>
          keys.findIndex((key) => headers['idempotency-key'] === key || body.includes(key)),
        ),
      ).toEqual([...keys.keys()])
    })
  })
}
