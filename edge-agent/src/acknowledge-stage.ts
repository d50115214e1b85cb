/**
 * How long it takes from a measurement to the gateway's PUBACK, in the live lane. Of each batch one sample is looked at: the one in
 * the middle of the first block that this agent stamped, else of the first. Its age in the batch is told by the clock of the batch, the
 * rest by the monotonic clock: a clock that is set meanwhile changes nothing.
 */
import type { BatchHeader } from '@tributary/protocol'
import { type Clock, createStage, type Stage } from '@tributary/runtime'
import type { BatchContent } from './batcher.ts'

export interface AcknowledgeStage extends Pick<Stage, 'take'> {
  stored(content: Pick<BatchContent, 'blocks'>, header: BatchHeader): void
  acknowledged(sequence: number, lane: 'live' | 'backlog'): void
}

export function createAcknowledgeStage(clock: Clock): AcknowledgeStage {
  const stage = createStage()
  return {
    take: stage.take,
    stored({ blocks }, { sequence, monotonicMs, createdAtMs }) {
      const block = blocks.find(({ stampedByAgent }) => stampedByAgent) ?? blocks[0]
      const timeMs = block?.timesMs[block.timesMs.length >> 1]
      if (timeMs !== undefined) stage.began(sequence, monotonicMs - (createdAtMs - timeMs))
    },
    acknowledged: (sequence, lane) =>
      lane === 'live' ? stage.ended(sequence, clock.monotonicMs()) : stage.left(sequence),
  }
}
