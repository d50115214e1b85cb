import fc from 'fast-check'
import { expect, test } from 'vitest'
import { divide, quotedLines } from './divide-lines.ts'
import type { RefusedLines } from './influx-answers.ts'
import { fieldKey, LineBuffer, linePrefix } from './line-protocol.ts'

const NAMES = ['m', 'm two', 'n,x', 'field = a']
const refusedAs = (said: string, reason: RefusedLines['refusal']['reason'] = 'field_type_conflict'): RefusedLines => ({
  ...{ kind: 'lines', refusal: { reason, detail: said }, dropped: 0, named: new Map(), said },
})

function linesOf(all: readonly { measurement: string; field: string; value: number | string; timeMs: number }[]) {
  const lines = new LineBuffer()
  for (const { measurement, field, value, timeMs } of all) {
    const prefix = linePrefix(measurement, { device: 'pump 1' })
    lines.begin(prefix)
    if (typeof value === 'number') lines.float(fieldKey(field), value, 1)
    else lines.string(fieldKey(field), value)
    lines.end(prefix, timeMs, 1, 0)
  }
  return lines
}
const name = fc.constantFrom(...NAMES)
const line = fc.record({
  measurement: name,
  field: name,
  value: fc.oneof(fc.integer({ min: -9, max: 9 }), fc.constantFrom('text', 'a="b" 1', 'm,value=3i')),
  timeMs: fc.integer({ min: 1, max: 9 }),
})

test('two parts, none empty, each line in one; lines of one time keep their order', () => {
  const complaint = fc.oneof(
    fc.constant(undefined),
    fc.constant(refusedAs('partial write: points beyond retention policy dropped=1', 'out_of_retention')),
    fc
      .tuple(name, name, fc.constantFrom('string', 'float'))
      .map(([measurement, field, type]) =>
        refusedAs(
          `field type conflict: input field "${field}" on measurement "${measurement}" is type ${type}, already exists as type x`,
        ),
      ),
  )
  fc.assert(
    fc.property(fc.array(line, { minLength: 2, maxLength: 30 }), complaint, (all, refused) => {
      const picked = all.map((_, i) => i)
      const parts = divide(refused, picked, linesOf(all))
      expect(parts.every((part) => part.length > 0)).toBe(true)
      expect(parts.flat().sort((a, b) => a - b)).toEqual(picked)
      for (const part of parts)
        for (const [at, one] of part.entries())
          for (const later of part.slice(at + 1))
            if (all[one]?.timeMs === all[later]?.timeMs) expect(one).toBeLessThan(later)
    }),
  )
})

test('the lines of the field that the complaint names, with the type that it names, are a part of their own', () => {
  const of = (measurement: string, field: string, value: number | string) => ({ measurement, field, value, timeMs: 1 })
  const lines = linesOf([
    of('m two', 'field = a', 'x'),
    of('m two', 'field = a', 1),
    of('m', 'field = a', 'x'),
    of('m two', 'm', 'x'),
  ])
  const said = 'input field "field = a" on measurement "m two" is type string, already exists as type float dropped=1'
  expect(divide(refusedAs(said), [0, 1, 2, 3], lines)).toEqual([[1, 2, 3], [0]])
})

test('lines that are quoted as ones that cannot be parsed are known, each with its own reason', () => {
  const lines = linesOf([1, 2, 3].map((value) => ({ measurement: 'm', field: 'v', value, timeMs: 5 })))
  const said =
    "partial write: unable to parse 'm,device=pump\\ 1 v=1 5': invalid number\nunable to parse 'm,device=pump\\ 1 v=3 5': bad timestamp dropped=0"
  expect([...quotedLines(refusedAs(said, 'malformed_line'), [0, 1, 2], lines)]).toEqual([
    [0, { reason: 'malformed_line', detail: "unable to parse 'm,device=pump\\ 1 v=1 5': invalid number" }],
    [2, { reason: 'malformed_line', detail: "unable to parse 'm,device=pump\\ 1 v=3 5': bad timestamp dropped=0" }],
  ])
})
