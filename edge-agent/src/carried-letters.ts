/**
 * Dead letters of records that go. They are carried on as they are once; when the record that carries them goes too, they are joined into
 * one a reason without their originals. Their readings were counted in the record that went, so a carried one counts none.
 */
import type { EdgeDeadLetter } from '@tributary/protocol'

/** Joined dead letters, one an input and reason; beyond it they are joined under the reason `other`. */
const JOINED_MAX = 64
const NOTE = 'carried on because the spool was full; counted as shed'
const JOINED = /^(\d+) dead letters, joined because the spool was full/

export const carryLetter = (letter: EdgeDeadLetter): EdgeDeadLetter => ({
  ...letter,
  detail: letter.detail.includes(NOTE) ? letter.detail : `${letter.detail.slice(0, 300)} (${NOTE})`,
  readingCount: 0,
})

/** @param letters of records that carried them already */
export function joinLetters(letters: readonly EdgeDeadLetter[]): EdgeDeadLetter[] {
  const joined = new Map<string, { letter: EdgeDeadLetter; count: number; bytes: number }>()
  for (const letter of letters) {
    const named = `${letter.input} ${letter.reason}`
    const other = joined.size >= JOINED_MAX && !joined.has(named)
    const key = other ? 'other' : named
    const known = joined.get(key) ?? {
      letter: other ? { ...letter, input: '', reason: 'other' } : letter,
      count: 0,
      bytes: 0,
    }
    known.count += Number(JOINED.exec(letter.detail)?.[1] ?? 1)
    known.bytes += letter.originalBytes
    joined.set(key, known)
  }
  return [...joined.values()].map(({ letter, count, bytes }) => ({
    ...letter,
    device: '',
    detail: `${count} dead letters, joined because the spool was full; counted as shed, their originals were not kept`,
    original: new Uint8Array(0),
    originalBytes: Math.min(bytes, 0xffffffff),
    readingCount: 0,
  }))
}
