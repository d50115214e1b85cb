/**
 * Bytes to text: UTF-8, or UTF-16 when it begins with that mark; marks are taken away, and lines end with a line feed, whether they
 * ended with that, a carriage return or both. What is no text at all is refused.
 */
import { TextDecoder } from 'node:util'
import { UserError } from '@tributary/runtime'

/** @throws UserError when it is no text */
export async function* textOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let decoder: TextDecoder | undefined
  /** A carriage return that a line feed may follow. */
  let held = ''
  for await (const chunk of chunks) {
    if (decoder === undefined) {
      const isUtf16 = chunk[0] === 0xff && chunk[1] === 0xfe
      if (chunk[0] === 0x1f && chunk[1] === 0x8b)
        throw new UserError('it is compressed', { hint: 'zcat FILE | tributary detect -' })
      if (!isUtf16 && chunk.includes(0)) throw new UserError('it is no text', { hint: 'give a CSV file' })
      decoder = new TextDecoder(isUtf16 ? 'utf-16le' : 'utf-8')
    }
    const text = held + decoder.decode(chunk, { stream: true })
    held = text.endsWith('\r') ? '\r' : ''
    yield withLineFeeds(held === '' ? text : text.slice(0, -1))
  }
  if (decoder) yield withLineFeeds(held + decoder.decode())
}

const withLineFeeds = (text: string): string => (text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text)

const DELIMITERS = [',', ';', '|', '\t']

/** What stands most often outside of quotes in a line; of two that stand as often not the comma, which may be in numbers. */
export function guessDelimiter(line: string): string {
  const plain = line.replace(/"[^"]*"/g, '')
  const count = (delimiter: string) => plain.split(delimiter).length - 1
  return DELIMITERS.reduce((best, one) => (count(one) > 0 && count(one) >= count(best) ? one : best))
}
