/** Sends messages to the broker at QoS 1, all at once or at a pace. */
import { systemClock } from '@tributary/runtime'
import { connectAsync } from 'mqtt'
import type { Message } from './workload.ts'

const clock = systemClock
const UNACKNOWLEDGED_MAX = 1_000
const TICK_MS = 4

export interface Publisher {
  /** Resolves when the broker has acknowledged each. */
  publishAll(messages: readonly Message[]): Promise<void>
  /**
   * Calls `measure` every `everyMs` for `durationMs` and publishes what it gives; a call that is late is made up for.
   * `dueMs` is the wall clock when the call was due.
   */
  publishPaced(
    options: { readonly everyMs: number; readonly durationMs: number },
    measure: (dueMs: number) => readonly Message[],
  ): Promise<void>
  close(): Promise<void>
}

export async function createPublisher(url: string): Promise<Publisher> {
  const client = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0 })
  let unacknowledged = 0
  let failure: Error | undefined
  let wake: () => void = () => undefined
  const send = ({ topic, payload }: Message) => {
    unacknowledged += 1
    client.publish(topic, payload, { qos: 1 }, (error) => {
      unacknowledged -= 1
      failure ??= error ?? undefined
      wake()
    })
  }
  const atMost = async (count: number) => {
    while (unacknowledged > count && !failure)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    if (failure) throw failure
  }
  return {
    async publishAll(messages) {
      for (const message of messages) {
        if (unacknowledged >= UNACKNOWLEDGED_MAX) await atMost(UNACKNOWLEDGED_MAX / 2)
        send(message)
      }
      await atMost(0)
    },
    async publishPaced({ everyMs, durationMs }, measure) {
      const startMs = clock.monotonicMs()
      const startWallMs = clock.wallMs()
      for (let i = 0; i * everyMs < durationMs; ) {
        for (; i * everyMs <= Math.min(clock.monotonicMs() - startMs, durationMs); i++)
          for (const message of measure(Math.round(startWallMs + i * everyMs))) send(message)
        await clock.sleep(TICK_MS)
      }
      await atMost(0)
    },
    close: () => client.endAsync(),
  }
}
