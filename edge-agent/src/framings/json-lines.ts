/** One JSON object a line. */
import { messageOf } from '@tributary/runtime'
import { parseExactJson } from '../exact-json.ts'
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
          return { value: parseExactJson(line) }
        } catch (error) {
          return { reason: 'not_json', detail: messageOf(error) }
        }
      },
      startsWithin: (line, withChecksum) => {
        // Without a checksum an inner object of a damaged line would look like a sample: then only noise before the first brace.
        if (!withChecksum) return line[0] === BRACE ? [] : [line.indexOf(BRACE)].filter((at) => at > 0)
        // A sample is flat, so the good line begins at the last brace, unless one stands in a string.
        const starts: number[] = []
        for (
          let at = line.lastIndexOf(BRACE);
          at > 0 && starts.length < STARTS_MAX;
          at = line.lastIndexOf(BRACE, at - 1)
        )
          starts.push(at)
        return starts
      },
      forget: () => undefined,
    },
    crc,
  )
