/**
 * Says into each partition's stream that time goes on, so that a partition of which nothing is heard any more is a message, too: `step`
 * has no other clock. A tick that the stream does not take is not tried again; the next one says as much.
 *
 * Guarantee: ticks are made by a partition that works. While it stands still (the database is away) or has a backlog before it, there is
 * one on its way at most: what it finds when it goes on are not the ticks of a time in which nobody could be told anything.
 */
import type { JetStreamClient } from '@nats-io/jetstream'
import { tickSubject } from '@tributary/protocol'
import { type Clock, every, type Logger, messageOf } from '@tributary/runtime'
import type { PartitionLoop } from './loop.ts'

export const TICK_EVERY_MS = 5_000

type Ticked = Pick<PartitionLoop, 'partition' | 'ready' | 'caughtUp' | 'state'>

/** Until the signal aborts. A partition without agents has nothing to wait for. */
export async function runTicks(
  loops: () => readonly Ticked[],
  { client, clock, log }: { client: Pick<JetStreamClient, 'publish'>; clock: Clock; log: Logger },
  signal: AbortSignal,
): Promise<void> {
  /** What a partition had come to when its last tick was made. */
  const cameTo = new Map<number, string>()
  /** The tick came, or nothing is left in the stream that it could stand behind: it is lost. */
  const hasMoved = (loop: Ticked) => cameTo.get(loop.partition) !== placeOf(loop)
  const tick = async () => {
    const waiting = loops().filter((loop) => loop.ready && loop.state.agents.size > 0 && hasMoved(loop))
    for (const loop of waiting) cameTo.set(loop.partition, placeOf(loop))
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

const placeOf = ({ caughtUp, state }: Ticked): string => `${caughtUp} ${state.desk.tickedAtMs}`
