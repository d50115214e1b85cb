/** Moves the times of a batch that the agent stamped while its clock was wrong. A device's own times stay as they are. */
import {
  type Batch,
  type BatchHeader,
  type DeviceBlock,
  decodeBatch,
  encodeBatch,
  type RollupBlock,
} from '@tributary/protocol'

/** @param shiftMs whole milliseconds, added to all that the agent stamped */
export function correctBatch(batch: Batch, shiftMs: number, clockQuality: BatchHeader['clockQuality']): Batch {
  const { header } = batch
  return {
    ...batch,
    header: {
      ...header,
      clockQuality,
      createdAtMs: header.createdAtMs + shiftMs,
      completeThroughMs: header.completeThroughMs + shiftMs,
    },
    blocks: batch.blocks.map((block) => (block.stampedByAgent ? shifted(block, shiftMs) : block)),
    rollups: batch.rollups.map((block) => (block.stampedByAgent ? shiftedWindows(block, shiftMs) : block)),
    deadLetters: batch.deadLetters.map((letter) => ({ ...letter, receivedAtMs: letter.receivedAtMs + shiftMs })),
  }
}

const shifted = (block: DeviceBlock, shiftMs: number): DeviceBlock => ({
  ...block,
  timesMs: block.timesMs.map((timeMs) => timeMs + shiftMs),
})

/** Windows stay on their grid: they move by whole widths. */
function shiftedWindows(block: RollupBlock, shiftMs: number): RollupBlock {
  const { widthMs } = block
  const widthsMs = Math.round(shiftMs / widthMs) * widthMs
  return { ...block, timesMs: block.timesMs.map((startMs) => startMs + widthsMs) }
}

export const correctPayload = (
  payload: Uint8Array,
  shiftMs: number,
  clockQuality: BatchHeader['clockQuality'],
): { payload: Uint8Array; batch: Batch } => {
  const batch = correctBatch(decodeBatch(payload), shiftMs, clockQuality)
  return { payload: encodeBatch(batch), batch }
}
