/** Bytes to text: UTF-8, or UTF-16 when it begins with that mark; marks are taken away. What is no text at all is refused. */
import { TextDecoder } from 'node:util'
import { UserError } from '@tributary/runtime'

/** @throws UserError when it is no text */
export async function* textOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let decoder: TextDecoder | undefined
  for await (const chunk of chunks) {
    if (decoder === undefined) {
      const isUtf16 = chunk[0] === 0xff && chunk[1] === 0xfe
      if (chunk[0] === 0x1f && chunk[1] === 0x8b)
        throw new UserError('it is compressed', { hint: 'zcat FILE | tributary detect -' })
      if (!isUtf16 && chunk.includes(0)) throw new UserError('it is no text', { hint: 'give a CSV file' })
      decoder = new TextDecoder(isUtf16 ? 'utf-16le' : 'utf-8')
    }
    yield decoder.decode(chunk, { stream: true })
  }
  if (decoder) yield decoder.decode()
}

const DELIMITERS = [',', ';', '\t']

/** What stands most often outside of quotes in a line; of two that stand as often not the comma, which may be in numbers. */
export function guessDelimiter(line: string): string {
  const plain = line.replace(/"[^"]*"/g, '')
  const count = (delimiter: string) => plain.split(delimiter).length - 1
  return DELIMITERS.reduce((best, one) => (count(one) > 0 && count(one) >= count(best) ? one : best))
}
