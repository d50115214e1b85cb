/** The compressed part of a batch: blocks, dead letters of the edge, tombstones, roll-ups. */
import type { Batch, DeviceBlock, EdgeDeadLetter, Tombstone } from './batch.ts'
import { decodeBlock, encodeBlock } from './block-codec.ts'
import { malformed, tooLarge } from './decode-error.ts'
import {
  BATCH_BLOCKS_MAX,
  BATCH_SAMPLES_MAX,
  BATCH_SLOTS_MAX,
  DEAD_LETTER_ORIGINAL_BYTES_MAX,
  DEAD_LETTERS_PER_BATCH_MAX,
  NAME_BYTES_MAX,
  ROLLUPS_PER_BATCH_MAX,
  STRING_VALUE_BYTES_MAX,
  TOMBSTONES_PER_BATCH_MAX,
} from './limits.ts'
import { createNumberRoom } from './number-room.ts'
import type { RollupBlock } from './rollup.ts'
import { decodeRollup, encodeRollup } from './rollup-codec.ts'
import { VARINT_BYTES_MAX } from './varints.ts'
import {
  createReader,
  createWriter,
  FIXED64,
  LENGTH,
  readBytes,
  readEnd,
  readFields,
  readSafeInteger,
  readText,
  VARINT,
  type Writer,
  writeBytes,
  writeDouble,
  writeMessage,
  writeText,
  writeUnsigned,
} from './wire.ts'

export type Body = Pick<Batch, 'blocks' | 'deadLetters' | 'tombstones' | 'rollups'>

const EPOCH_BYTES = 8

export const epochToBytes = (epoch: string): Uint8Array => Buffer.from(epoch, 'hex')

export function epochFromBytes(bytes: Uint8Array): string {
  if (bytes.length !== EPOCH_BYTES) throw malformed(`an epoch of ${bytes.length} bytes instead of ${EPOCH_BYTES}`)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

export function encodeBody(body: Body): Uint8Array {
  const writer = createWriter()
  const samples = [...body.blocks, ...body.rollups].reduce((most, block) => Math.max(most, block.timesMs.length), 0)
  const scratch = new Uint8Array(samples * VARINT_BYTES_MAX)
  for (const block of body.blocks) writeMessage(writer, 1, (message) => encodeBlock(message, block, scratch))
  for (const letter of body.deadLetters) writeMessage(writer, 2, (message) => encodeDeadLetter(message, letter))
  for (const stone of body.tombstones) writeMessage(writer, 3, (message) => encodeTombstone(message, stone))
  for (const block of body.rollups) writeMessage(writer, 4, (message) => encodeRollup(message, block, scratch))
  return writer.finish()
}

export function decodeBody(bytes: Uint8Array): Body {
  const reader = createReader(bytes)
  const budget = {
    samples: BATCH_SAMPLES_MAX,
    slots: BATCH_SLOTS_MAX,
    numbers: createNumberRoom(),
  }
  const blocks: DeviceBlock[] = []
  const deadLetters: EdgeDeadLetter[] = []
  const tombstones: Tombstone[] = []
  const rollups: RollupBlock[] = []
  readFields(reader, reader.len, (tag) => {
    switch (tag) {
      case (1 << 3) | LENGTH:
        if (blocks.length >= BATCH_BLOCKS_MAX) throw tooLarge(`more than ${BATCH_BLOCKS_MAX} blocks`)
        blocks.push(decodeBlock(reader, readEnd(reader), budget))
        return true
      case (2 << 3) | LENGTH:
        if (deadLetters.length >= DEAD_LETTERS_PER_BATCH_MAX)
          throw tooLarge(`more than ${DEAD_LETTERS_PER_BATCH_MAX} dead letters`)
        deadLetters.push(decodeDeadLetter(readBytes(reader)))
        return true
      case (3 << 3) | LENGTH:
        if (tombstones.length >= TOMBSTONES_PER_BATCH_MAX)
          throw tooLarge(`more than ${TOMBSTONES_PER_BATCH_MAX} tombstones`)
        tombstones.push(decodeTombstone(readBytes(reader)))
        return true
      case (4 << 3) | LENGTH:
        if (rollups.length >= ROLLUPS_PER_BATCH_MAX) throw tooLarge(`more than ${ROLLUPS_PER_BATCH_MAX} roll-ups`)
        rollups.push(decodeRollup(reader, readEnd(reader), budget))
        return true
      default:
        return false
    }
  })
  return { blocks, deadLetters, tombstones, rollups }
}

function encodeDeadLetter(writer: Writer, letter: EdgeDeadLetter): void {
  writeText(writer, 1, letter.input)
  writeText(writer, 2, letter.device)
  writeText(writer, 3, letter.reason)
  writeText(writer, 4, letter.detail)
  writeDouble(writer, 5, letter.receivedAtMs)
  if (letter.original.length > 0) writeBytes(writer, 6, letter.original)
  writeUnsigned(writer, 7, letter.originalBytes)
  writeUnsigned(writer, 8, letter.readingCount)
}

function decodeDeadLetter(bytes: Uint8Array): EdgeDeadLetter {
  const reader = createReader(bytes)
  const letter = {
    input: '',
    device: '',
    reason: '',
    detail: '',
    receivedAtMs: 0,
    original: new Uint8Array(0),
    originalBytes: 0,
    readingCount: 0,
  }
  readFields(reader, reader.len, (tag) => {
    switch (tag) {
      case (1 << 3) | LENGTH:
        letter.input = readText(reader, NAME_BYTES_MAX, 'the input of a dead letter')
        return true
      case (2 << 3) | LENGTH:
        letter.device = readText(reader, NAME_BYTES_MAX, 'the device of a dead letter')
        return true
      case (3 << 3) | LENGTH:
        letter.reason = readText(reader, NAME_BYTES_MAX, 'the reason of a dead letter')
        return true
      case (4 << 3) | LENGTH:
        letter.detail = readText(reader, STRING_VALUE_BYTES_MAX, 'the detail of a dead letter')
        return true
      case (5 << 3) | FIXED64:
        letter.receivedAtMs = reader.double()
        return true
      case (6 << 3) | LENGTH: {
        const original = readBytes(reader)
        if (original.length > DEAD_LETTER_ORIGINAL_BYTES_MAX)
          throw tooLarge(`the original of a dead letter has ${original.length} bytes`)
        // A copy, so that a letter kept for long does not keep the whole batch.
        letter.original = new Uint8Array(original)
        return true
      }
      case (7 << 3) | VARINT:
        letter.originalBytes = reader.uint32()
        return true
      case (8 << 3) | VARINT:
        letter.readingCount = reader.uint32()
        return true
      default:
        return false
    }
  })
  return letter
}

function encodeTombstone(writer: Writer, stone: Tombstone): void {
  writeBytes(writer, 1, epochToBytes(stone.epoch))
  writeUnsigned(writer, 2, stone.fromSequence)
  writeUnsigned(writer, 3, stone.toSequence)
  writeUnsigned(writer, 4, stone.readingCount)
  writeText(writer, 5, stone.reason)
}

function decodeTombstone(bytes: Uint8Array): Tombstone {
  const reader = createReader(bytes)
  const stone = { epoch: '', fromSequence: 0, toSequence: 0, readingCount: 0, reason: '' }
  readFields(reader, reader.len, (tag) => {
    switch (tag) {
      case (1 << 3) | LENGTH:
        stone.epoch = epochFromBytes(readBytes(reader))
        return true
      case (2 << 3) | VARINT:
        stone.fromSequence = readSafeInteger(reader, 'the first sequence of a tombstone')
        return true
      case (3 << 3) | VARINT:
        stone.toSequence = readSafeInteger(reader, 'the last sequence of a tombstone')
        return true
      case (4 << 3) | VARINT:
        stone.readingCount = readSafeInteger(reader, 'the reading count of a tombstone')
        return true
      case (5 << 3) | LENGTH:
        stone.reason = readText(reader, NAME_BYTES_MAX, 'the reason of a tombstone')
        return true
      default:
        return false
    }
  })
  return stone
}
