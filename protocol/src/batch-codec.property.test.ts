import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Batch } from './batch.ts'
import { BATCH_FORMAT_VERSION, decodeBatch, decodeHeader, encodeBatch, rewriteSendFields } from './batch-codec.ts'
import { countReadings, countSamples } from './batch-faults.ts'
import { DecodeError } from './decode-error.ts'
import type { RollupBlock } from './rollup.ts'

const name = fc.stringMatching(/^[a-z]([a-z0-9_]{0,10}[a-z0-9])?$/)
const epoch = fc.stringMatching(/^[0-9a-f]{16}$/)
const timeMs = fc.oneof(fc.integer({ min: 0, max: 4e12 }), fc.double({ min: -8.64e15, max: 8.64e15, noNaN: true }))
const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const text = (max: number) =>
  fc.string({ maxLength: max, unit: 'grapheme-composite' }).filter((t) => Buffer.byteLength(t) <= max)

/** Values as sensors have them, and as nobody expects them. */
const number = fc.oneof(
  fc.integer({ min: -500, max: 5000 }).map((n) => n / 10),
  fc.integer({ min: -50_000, max: 500_000 }).map((n) => n / 1000),
  fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }),
  fc.float(),
  fc.double(),
  fc.constantFrom(0, -0, Number.NaN, Infinity, -Infinity, 2 ** 53, -(2 ** 31), 2 ** 31, 1e-9, 1e-10, 5e-324),
)
const numberRun = (length: number) =>
  fc.oneof(
    fc.array(number, { minLength: length, maxLength: length }),
    // All of one kind, so that each form of column gets its turn.
    fc
      .tuple(fc.constantFrom(1, 10, 1000, 1e9), fc.array(fc.integer(), { minLength: length, maxLength: length }))
      .map(([power, values]) => values.map((v) => v / power)),
    fc.array(fc.float(), { minLength: length, maxLength: length }),
    fc.constant(Array.from({ length }, (_, i) => 4_294_967_290 + i)),
  )

const columns = (length: number) =>
  fc.uniqueArray(name, { maxLength: 5 }).chain((fields) =>
    fc.tuple(
      ...fields.map((field) =>
        fc.record({
          field: fc.constant(field),
          flags: fc.option(fc.array(fc.integer({ min: 0, max: 1 }), { minLength: length, maxLength: length })),
          values: fc.oneof(
            numberRun(length),
            fc.array(fc.boolean(), { minLength: length, maxLength: length }),
            fc.array(text(40), { minLength: length, maxLength: length }),
            fc.array(fc.constantFrom('idle', 'filling', 'draining'), { minLength: length, maxLength: length }),
          ),
        }),
      ),
    ),
  )

const block = fc
  .tuple(fc.array(timeMs, { minLength: 1, maxLength: 40 }), fc.integer({ min: 0, max: 5000 }), fc.boolean())
  .chain(([times, interval, regular]) =>
    fc
      .record({ device: name, kind: name, stamped: fc.boolean(), columns: columns(times.length) })
      .map(({ device, kind, stamped, columns: drawn }) => ({
        device,
        kind,
        ...(stamped ? { stampedByAgent: true as const } : {}),
        timesMs: Float64Array.from(times, (t, i) => (regular ? 1.7e12 + i * interval : t)),
        columns: drawn.map(({ field, flags, values }) => {
          const present = flags ? Uint8Array.from(flags) : null
          // A slot whose sample lacks the field holds 0 or ''.
          const at = <T>(i: number, value: T, nothing: T): T => (present && present[i] === 0 ? nothing : value)
          const first = values[0]
          if (typeof first === 'string')
            return { field, present, type: 'string' as const, values: (values as string[]).map((v, i) => at(i, v, '')) }
          if (typeof first === 'boolean')
            return {
              field,
              present,
              type: 'boolean' as const,
              values: Uint8Array.from(values as boolean[], (v, i) => at(i, Number(v), 0)),
            }
          return {
            field,
            present,
            type: 'number' as const,
            values: Float64Array.from(values as number[], (v, i) => at(i, v, 0)),
          }
        }),
      })),
  )

const rollupColumn = (windows: number, widthMs: number) => {
  const each = <T>(value: fc.Arbitrary<T>) => fc.array(value, { minLength: windows, maxLength: windows })
  const window = fc.record({
    count: fc.nat(1000),
    offset: fc.double({ min: 0, max: widthMs, maxExcluded: true, noNaN: true }),
    values: fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 3, maxLength: 3 }),
    mean: number,
    squares: number,
    text: text(40),
  })
  return fc
    .record({ field: name, type: fc.constantFrom('number', 'boolean', 'string'), drawn: each(window) })
    .map(({ field, type, drawn }): RollupBlock['columns'][number] => {
      const numbers = (of: (one: (typeof drawn)[number]) => number) =>
        Float64Array.from(drawn, (one) => (one.count === 0 ? 0 : of(one)))
      const common = { field, counts: numbers((one) => one.count), lastOffsetsMs: numbers((one) => one.offset) }
      if (type === 'string') return { ...common, type, lasts: drawn.map((one) => (one.count === 0 ? '' : one.text)) }
      if (type === 'boolean')
        return {
          ...common,
          type,
          lasts: Uint8Array.from(drawn, (one) => (one.count === 0 ? 0 : one.count & 1)),
          trueCounts: numbers((one) => one.count >> 1),
        }
      return {
        ...common,
        type: 'number',
        sums: numbers((one) => one.mean),
        spreads: numbers((one) => one.squares),
        minimums: numbers((one) => Math.min(...one.values)),
        maximums: numbers((one) => Math.max(...one.values)),
        lasts: numbers((one) => one.values[0] as number),
      }
    })
}

const rollup = fc
  .record({
    widthMs: fc.constantFrom(1, 10_000, 60_000, 86_400_000),
    places: fc.uniqueArray(fc.integer({ min: -500, max: 99_999 }), { maxLength: 8 }),
  })
  .chain(({ widthMs, places }) =>
    fc.record({
      device: name,
      kind: name,
      widthMs: fc.constant(widthMs),
      timesMs: fc.constant(
        Float64Array.from(
          places.sort((a, b) => a - b),
          (place) => place * widthMs + 0,
        ),
      ),
      columns: fc.uniqueArray(rollupColumn(places.length, widthMs), { maxLength: 4, selector: ({ field }) => field }),
    }),
  )

const batch: fc.Arbitrary<Batch> = fc
  .record({
    header: fc.record({
      agent: name,
      epoch,
      sequence: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      lane: fc.constantFrom('live' as const, 'backlog' as const),
      createdAtMs: timeMs,
      completeThroughMs: timeMs,
      bootId: text(36),
      clockQuality: fc.constantFrom(
        'trusted' as const,
        'untrusted' as const,
        'corrected' as const,
        'estimated' as const,
      ),
      readingsTotal: count,
      backlogBatches: count,
      backlogBytes: count,
      drainSeconds: fc.double({ min: 0, max: 1e9, noNaN: true }),
      monotonicMs: fc.double({ min: 0, max: 1e12, noNaN: true }),
    }),
    blocks: fc.array(block, { maxLength: 4 }),
    deadLetters: fc.array(
      fc
        .record({
          input: name,
          device: name,
          reason: name,
          detail: text(100),
          receivedAtMs: timeMs,
          original: fc.uint8Array({ maxLength: 60 }),
          cut: fc.nat(1000),
          readingCount: fc.nat(100),
        })
        .map(({ cut, ...letter }) => ({ ...letter, originalBytes: letter.original.length + cut })),
      { maxLength: 3 },
    ),
    tombstones: fc.array(
      fc
        .record({ epoch, fromSequence: fc.nat(), length: fc.nat(), readingCount: count, reason: name })
        .map(({ length, ...stone }) => ({ ...stone, toSequence: stone.fromSequence + length })),
      { maxLength: 3 },
    ),
    rollups: fc.array(rollup, { maxLength: 3 }),
    rolledUp: fc.integer({ min: 0, max: 100 }),
  })
  .map(({ rolledUp, rollups, ...rest }) => {
    const { sequence } = rest.header
    const range = { fromSequence: Math.max(1, sequence - 1 - rolledUp), toSequence: sequence - 1 }
    const stamped = (sequence & 1) === 0 ? { stampedByAgent: true as const } : {}
    return { ...rest, rollups: sequence === 1 ? [] : rollups.map((block) => ({ ...block, ...range, ...stamped })) }
  })
  .map(({ header, ...body }) => ({
    header: {
      formatVersion: BATCH_FORMAT_VERSION,
      ...header,
      sampleCount: countSamples(body.blocks),
      readingCount: countReadings(body),
    },
    ...body,
  }))

/** What comes back: presence that is complete is told as null. */
const normal = (given: Batch): Batch => ({
  ...given,
  blocks: given.blocks.map((b) => ({
    ...b,
    columns: b.columns.map((c) => (c.present?.every((flag) => flag !== 0) ? { ...c, present: null } : c)),
  })),
})

test('a batch comes back bit for bit', () => {
  fc.assert(
    fc.property(batch, (given) => {
      const bytes = encodeBatch(given)
      // toStrictEqual tells -0 from 0 and takes NaN for equal to itself.
      expect(decodeBatch(bytes)).toStrictEqual(normal(given))
      expect(decodeHeader(bytes)).toStrictEqual(given.header)
    }),
    { numRuns: 400 },
  )
})

test('rewriting the send fields changes them and nothing else', () => {
  fc.assert(
    fc.property(batch, count, (given, backlogBytes) => {
      const fields = { lane: 'backlog', backlogBatches: 3, backlogBytes, drainSeconds: 12.5 } as const
      const rewritten = decodeBatch(rewriteSendFields(encodeBatch(given), fields))
      expect(rewritten).toStrictEqual({ ...normal(given), header: { ...given.header, ...fields } })
    }),
    { numRuns: 50 },
  )
})

const endsInDecodeError = (bytes: Uint8Array) => {
  for (const decode of [decodeHeader, decodeBatch])
    try {
      decode(bytes)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
    }
}

test('a batch cut short anywhere is refused as cut_short', () => {
  fc.assert(
    fc.property(batch, fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (given, at) => {
      const bytes = encodeBatch(given)
      const cut = bytes.subarray(0, Math.floor(at * bytes.length))
      for (const decode of [decodeHeader, decodeBatch])
        expect(() => decode(cut)).toThrowError(expect.objectContaining({ name: 'DecodeError', reason: 'cut_short' }))
    }),
    { numRuns: 100 },
  )
})

test('a flipped bit is noticed, or changes nothing', () => {
  let noticed = 0
  fc.assert(
    fc.property(batch, fc.nat(), (given, where) => {
      const bytes = Uint8Array.from(encodeBatch(given))
      const bit = where % (bytes.length * 8)
      bytes[bit >>> 3] = (bytes[bit >>> 3] as number) ^ (1 << (bit & 7))
      try {
        // The tag of a field that has its default value may become one that nobody knows.
        expect(decodeBatch(bytes)).toStrictEqual(normal(given))
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error
        noticed += 1
      }
    }),
    { numRuns: 400 },
  )
  expect(noticed).toBeGreaterThan(0.98 * 400)
})

test('bytes from nowhere end in a DecodeError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      expect(() => decodeBatch(bytes)).toThrowError(DecodeError)
      endsInDecodeError(Uint8Array.of(0x0d, 0x54, 0x52, 0x42, 0x31, ...bytes))
    }),
    { numRuns: 1000 },
  )
})
