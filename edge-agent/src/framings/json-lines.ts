/** One JSON object a line. */
import { messageOf } from '@tributary/runtime'
import type { Framing } from './framing.ts'
import { createLineFraming } from './lines.ts'

const BRACE = 0x7b
const STARTS_MAX = 8

export const createJsonLines = ({ crc }: { crc: boolean }): Framing =>
  createLineFraming(
    {
      isDirective: () => false,
      parse: (line) => {
        try {
          return { value: JSON.parse(line) as unknown }
        } catch (error) {
          return { reason: 'not_json', detail: messageOf(error) }
        }
      },
      startsWithin: (line, withChecksum) => {
        const starts: number[] = []
        for (let at = line.indexOf(BRACE, 1); at !== -1 && starts.length < STARTS_MAX; at = line.indexOf(BRACE, at + 1))
          starts.push(at)
        // Without a checksum an inner object of a damaged line would look like a sample: then only noise before the first brace.
        return withChecksum ? starts : line[0] === BRACE ? [] : starts.slice(0, 1)
      },
      forget: () => undefined,
    },
    crc,
  )
