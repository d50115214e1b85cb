/** The files of a spool as FORMAT.md describes them, and what somebody did to them: read and written here without the code of the product. */
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { createRandom } from '@tributary/runtime'

type Random = ReturnType<typeof createRandom>

const SEGMENT_HEADER_BYTES = 40
const RECORD_HEADER_BYTES = 20
const LENGTH_AT = 8
const SEQUENCE_AT = 12
const FLIPS_MAX = 3

export interface Damage {
  /** Name in the folder. */
  readonly file: string
  /** Where, in bytes from its beginning: of the cut, or of each byte that was flipped. */
  readonly at: readonly number[]
  /** Of the records that it spoils, ascending; none when it hit a header, the cursor or the identity. */
  readonly sequences: readonly number[]
}

interface RecordPlace {
  readonly sequence: number
  readonly from: number
  readonly end: number
}

const isSegment = (file: string): boolean => file.endsWith('.seg')

/** Where each record of a whole segment lies. */
function recordsOf(segment: Buffer): RecordPlace[] {
  const records: RecordPlace[] = []
  for (let from = SEGMENT_HEADER_BYTES; from < segment.length; ) {
    const end = from + RECORD_HEADER_BYTES + segment.readUInt32LE(from + LENGTH_AT)
    records.push({ sequence: segment.readUIntLE(from + SEQUENCE_AT, 6), from, end })
    from = end
  }
  return records
}

/** A byte of the folder, each as likely as any other. */
async function chooseByte(folder: string, random: Random): Promise<{ file: string; bytes: Buffer; at: number }> {
  const files: { file: string; bytes: Buffer }[] = []
  for (const file of (await readdir(folder)).sort()) files.push({ file, bytes: await readFile(join(folder, file)) })
  let at = random.below(files.reduce((sum, { bytes }) => sum + bytes.length, 0))
  for (const { file, bytes } of files) {
    if (at < bytes.length) return { file, bytes, at }
    at -= bytes.length
  }
  throw new Error(`${folder} is empty`)
}

/** Cuts a file of the folder off at a random byte. */
export async function truncateSomewhere(folder: string, random: Random): Promise<Damage> {
  const { file, bytes, at } = await chooseByte(folder, random)
  const spoilt = isSegment(file) ? recordsOf(bytes).filter(({ end }) => end > at) : []
  await truncate(join(folder, file), at)
  return { file, at: [at], sequences: spoilt.map(({ sequence }) => sequence) }
}

/** Changes one to three random bytes of one file of the folder. */
export async function flipSomewhere(folder: string, random: Random): Promise<Damage> {
  const { file, bytes, at } = await chooseByte(folder, random)
  const places = new Set([at])
  for (let more = random.below(FLIPS_MAX); more > 0; more--) places.add(random.below(bytes.length))
  const records = isSegment(file) ? recordsOf(bytes) : []
  for (const place of places) bytes.writeUInt8(bytes.readUInt8(place) ^ (1 + random.below(255)), place)
  await writeFile(join(folder, file), bytes)
  const spoilt = records.filter(({ from, end }) => [...places].some((place) => from <= place && place < end))
  return { file, at: [...places].sort((a, b) => a - b), sequences: spoilt.map(({ sequence }) => sequence) }
}
