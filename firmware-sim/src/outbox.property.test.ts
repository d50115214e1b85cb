import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createOutbox } from './outbox.ts'

type Step =
  | { do: 'push' }
  | { do: 'take'; count: number }
  | { do: 'acknowledge'; from: number; length: number }
  | { do: 'again'; before: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ do: 'push' as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('take' as const), count: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('acknowledge' as const), from: fc.nat(60), length: fc.nat(8) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('again' as const), before: fc.nat(100) }) },
)

it('behaves as a list of samples does, whatever is done to it', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.nat(20),
      fc.array(step, { maxLength: 100 }),
      (capacity, first, steps) => {
        const outbox = createOutbox(capacity, first)
        let model: { sequence: number; waits: boolean; sentAtMs: number | undefined }[] = []
        let next = first
        steps.forEach((s, nowMs) => {
          switch (s.do) {
            case 'push': {
              // The ring spans consecutive sequences: the oldest kept one goes when it lies a capacity back.
              const expected = model[0] && next - model[0].sequence >= capacity ? model.shift() : undefined
              expect(outbox.push(next)).toEqual(
                expected && { sequence: expected.sequence, sent: expected.sentAtMs !== undefined },
              )
              model.push({ sequence: next++, waits: true, sentAtMs: undefined })
              break
            }
            case 'take': {
              const expected = model.filter((m) => m.waits).slice(0, s.count)
              for (const m of expected) Object.assign(m, { waits: false, sentAtMs: nowMs })
              expect(outbox.take(s.count, nowMs)).toEqual(expected.map((m) => m.sequence))
              break
            }
            case 'acknowledge': {
              const kept = model.filter((m) => m.sequence < s.from || m.sequence > s.from + s.length)
              expect(outbox.acknowledge(s.from, s.from + s.length)).toBe(model.length - kept.length)
              model = kept
              break
            }
            case 'again': {
              const expected = model.filter((m) => !m.waits && (m.sentAtMs ?? Infinity) <= s.before)
              for (const m of expected) m.waits = true
              expect(outbox.sendAgain(s.before)).toBe(expected.length)
            }
          }
          expect(outbox.unacknowledged).toBe(model.length)
          expect(outbox.waiting).toBe(model.filter((m) => m.waits).length)
          expect(outbox.remaining()).toEqual(
            model.map((m) => ({ sequence: m.sequence, sent: m.sentAtMs !== undefined })),
          )
        })
      },
    ),
  )
})
