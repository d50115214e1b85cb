/**
 * Says into each partition's stream that time goes on, so that a partition of which nothing is heard any more is a message, too: `step`
 * has no other clock. A tick that the stream does not take is not tried again; the next one says as much.
 */
import type { JetStreamClient } from '@nats-io/jetstream'
import { tickSubject } from '@tributary/protocol'
import { type Clock, every, type Logger, messageOf } from '@tributary/runtime'
import type { PartitionLoop } from './loop.ts'

export const TICK_EVERY_MS = 5_000

/** Until the signal aborts. A partition without agents has nothing to wait for. */
export async function runTicks(
  loops: () => readonly Pick<PartitionLoop, 'partition' | 'ready' | 'state'>[],
  { client, clock, log }: { client: JetStreamClient; clock: Clock; log: Logger },
  signal: AbortSignal,
): Promise<void> {
  const tick = async () => {
    const waiting = loops().filter(({ ready, state }) => ready && state.agents.size > 0)
    await Promise.all(
      waiting.map(({ partition }) =>
        client
          .publish(tickSubject(partition), '', { timeout: TICK_EVERY_MS })
          .catch((error: unknown) => log.debug({ partition, reason: messageOf(error) }, 'the stream took no tick')),
      ),
    )
  }
  await every(TICK_EVERY_MS, tick, { clock, signal })
}
