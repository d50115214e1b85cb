/**
 * Every limit on what travels, in one place, with the relations between them asserted.
 * A limit of one process alone stands in that process's config.
 */
import { strict as assert } from 'node:assert'

/** Bytes of one encoded batch, header and compressed body together. */
export const BATCH_BYTES_MAX = 1024 * 1024
/** Bytes of a batch's body after inflation; a body that announces more is refused before memory is taken. */
export const BATCH_BODY_BYTES_MAX = 16 * 1024 * 1024
export const BATCH_READINGS_MAX = 50_000
export const BATCH_SAMPLES_MAX = BATCH_READINGS_MAX
export const BATCH_DEVICES_MAX = 4_096
/** Blocks of a batch: a device may send samples of several kinds. */
export const BATCH_BLOCKS_MAX = 2 * BATCH_DEVICES_MAX
/** Samples (at least one) times columns, over all blocks, and windows times statistics: what decoding costs, also where a sample lacks the field. */
export const BATCH_SLOTS_MAX = 4 * BATCH_READINGS_MAX
export const BLOCK_SAMPLES_MAX = BATCH_SAMPLES_MAX
export const BLOCK_FIELDS_MAX = 256
/** Bytes of an agent, site, device, kind or field name. */
export const NAME_BYTES_MAX = 64
/** Bytes of one string value. */
export const STRING_VALUE_BYTES_MAX = 1_024
/** Bytes of the original kept in one dead letter; a longer original is cut and marked. */
export const DEAD_LETTER_ORIGINAL_BYTES_MAX = 64 * 1024
export const DEAD_LETTERS_PER_BATCH_MAX = 1_000
export const TOMBSTONES_PER_BATCH_MAX = 1_000
export const ROLLUPS_PER_BATCH_MAX = BATCH_BLOCKS_MAX
/** The widest window of a roll-up. */
export const ROLLUP_WIDTH_MS_MAX = 86_400_000
/** Sites are spread over this many partitions by a stable hash. */
export const PARTITION_COUNT = 16

assert(BATCH_READINGS_MAX * 9 <= BATCH_BODY_BYTES_MAX, 'a batch of doubles fits into a body')
assert(BATCH_SLOTS_MAX >= BATCH_READINGS_MAX, 'each reading has its slot')
assert(BATCH_SAMPLES_MAX <= BATCH_READINGS_MAX, 'a sample has at least one reading')
assert(DEAD_LETTER_ORIGINAL_BYTES_MAX * 4 <= BATCH_BYTES_MAX, 'a batch holds several of the largest dead letters')
