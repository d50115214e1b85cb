/** Batches whose checksums are right and whose content is not: made with telemetry.proto by reflection, not with our encoder. */
import { crc32, deflateSync, inflateSync } from 'node:zlib'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { beforeAll, describe, expect, test } from 'vitest'
import { decodeBatch, decodeHeader, encodeBatch } from './batch-codec.ts'
import { DecodeError } from './decode-error.ts'
import { goldenBatches } from './golden-batches.ts'
import { BATCH_BODY_BYTES_MAX, BATCH_BYTES_MAX, DEAD_LETTERS_PER_BATCH_MAX } from './limits.ts'

let schema: protobuf.Root
beforeAll(async () => {
  schema = await new protobuf.Root().load(new URL('../proto/telemetry.proto', import.meta.url).pathname, {
    keepCase: true,
  })
})
const bytesOf = (message: string, fields: object): Uint8Array => {
  const type = schema.lookupType(`tributary.v1.${message}`)
  return type.encode(type.fromObject(fields)).finish()
}

const HEADER = { format_version: 2, agent: 'pi-7', epoch: Buffer.from('00c0ffee12345678', 'hex'), sequence: 1 }

/** An envelope with right checksums around any header and body. */
function seal(header: object, body: object | Uint8Array, announced?: number): Uint8Array {
  const headerBytes = bytesOf('Header', { ...HEADER, ...header })
  const bodyBytes = body instanceof Uint8Array ? body : bytesOf('Body', body)
  const deflated = deflateSync(bodyBytes)
  return bytesOf('Envelope', {
    magic: 0x31425254,
    header_crc32: crc32(headerBytes),
    header: schema.lookupType('tributary.v1.Header').decode(headerBytes),
    body_crc32: crc32(deflated),
    body_bytes_inflated: announced ?? bodyBytes.length,
    body: deflated,
  })
}

const block = (fields: object) => ({ device: 'd', kind: 'k', sample_count: 1, first_time_ms: 5, ...fields })
const column = (values: object) => ({ field: 'f', ...values })
/** One sample with one column, and the header that goes with it. */
const oneColumn = (values: object) =>
  seal({ sample_count: 1, reading_count: 1 }, { blocks: [block({ columns: [column(values)] })] })

const refusal = (bytes: Uint8Array, decode: (bytes: Uint8Array) => unknown = decodeBatch): DecodeError => {
  try {
    decode(bytes)
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError)
    return error as DecodeError
  }
  throw new Error('was accepted')
}

test('the envelopes of these tests are themselves right', () => {
  const bytes = oneColumn({ decimals: { decimals: 1, deltas: [215] } })
  expect(decodeBatch(bytes).blocks[0]).toEqual({
    device: 'd',
    kind: 'k',
    timesMs: Float64Array.of(5),
    columns: [{ field: 'f', present: null, type: 'number', values: Float64Array.of(21.5) }],
  })
})

describe('the wrong bytes altogether', () => {
  test.each([
    ['text', Buffer.from('hello, this is no batch')],
    ['JSON', Buffer.from('{"device":"a"}')],
    ['gzip', Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0)],
  ])('%s is not_a_batch', (_, bytes) => {
    expect(refusal(bytes).reason).toBe('not_a_batch')
    expect(refusal(bytes, decodeHeader).reason).toBe('not_a_batch')
  })
  test('more bytes than a batch may have are too_large, before they are looked at', () => {
    expect(refusal(new Uint8Array(BATCH_BYTES_MAX + 1), decodeHeader).reason).toBe('too_large')
  })
  test('nothing at all is cut_short', () => {
    expect(refusal(new Uint8Array(0)).reason).toBe('cut_short')
  })
})

describe('headers', () => {
  test.each<[string, object, DecodeError['reason'], RegExp]>([
    ['a later format', { format_version: 3 }, 'unknown_version', /format version 3.*up to 2: update/],
    ['a monotonic time before boot', { monotonic_ms: -1 }, 'malformed', /monotonicMs is -1/],
    ['no format', { format_version: 0 }, 'malformed', /no format version/],
    ['a name that would break a topic', { agent: 'a/b' }, 'malformed', /"a\/b" is no name/],
    ['a name that is too long', { agent: 'a'.repeat(65) }, 'too_large', /65 bytes; 64/],
    ['half an epoch', { epoch: Buffer.from('00c0', 'hex') }, 'malformed', /2 bytes instead of 8/],
    ['sequence 0', { sequence: 0 }, 'malformed', /sequence is 0/],
    ['a sequence beyond 2^53', { sequence: '9223372036854775807' }, 'malformed', /beyond 2\^53/],
    ['a lane that is none', { lane: 7 }, 'malformed', /lane 7/],
    ['a clock quality that is none', { clock_quality: 9 }, 'malformed', /clock quality 9/],
    ['no time', { created_at_ms: Number.NaN }, 'malformed', /no time/],
    ['a time that no Date can hold', { complete_through_ms: 1e300 }, 'malformed', /no time/],
    ['a negative drain', { drain_seconds: -1 }, 'malformed', /drainSeconds is -1/],
  ])('%s', (_, header, reason, detail) => {
    for (const decode of [decodeHeader, decodeBatch]) {
      const error = refusal(seal(header, {}), decode)
      expect(error.reason).toBe(reason)
      expect(error.message).toMatch(detail)
    }
  })
  test('counts that the body does not bear out', () => {
    const blocks = [block({ columns: [column({ booleans: { bits: Uint8Array.of(1) } })] })]
    expect(refusal(seal({ sample_count: 2, reading_count: 1 }, { blocks })).message).toMatch(/says 2 samples.*hold 1/)
    expect(refusal(seal({ sample_count: 1, reading_count: 3 }, { blocks })).message).toMatch(/says 3 readings.*hold 1/)
    const letters = { blocks, dead_letters: [{ reading_count: 2 }] }
    expect(decodeBatch(seal({ sample_count: 1, reading_count: 3 }, letters)).deadLetters).toHaveLength(1)
  })
})

describe('blocks and columns', () => {
  test.each<[string, object, RegExp]>([
    ['no values', {}, /no values in a form/],
    ['fewer differences than samples', { decimals: { deltas: [] } }, /0 differences where 1/],
    ['more differences than samples', { decimals: { deltas: [1, 2] } }, /bytes are left after 1/],
    ['ten decimals', { decimals: { decimals: 10, deltas: [1] } }, /10 decimals/],
    ['a base that is no whole number', { decimals: { base: 0.5, deltas: [1] } }, /base of a decimal column is 0.5/],
    ['too few doubles', { doubles: { values: [] } }, /0 bytes where 1 values/],
    ['too many floats', { floats: { values: [1, 2] } }, /8 bytes where 1 values/],
    ['too many bits', { booleans: { bits: Uint8Array.of(1, 0) } }, /bitmap of 2 bytes stands for 1 samples/],
    ['bits beyond the last sample', { booleans: { bits: Uint8Array.of(3) } }, /beyond its last sample/],
    ['no string', { strings: { entries: [] } }, /0 strings where 1/],
    ['two strings', { strings: { entries: ['a', 'b'] } }, /more than 1 strings/],
    [
      'a string that is not in the dictionary',
      { strings: { entries: ['a'], indices: [1] } },
      /string 1 of a dictionary of 1/,
    ],
    [
      'presence of another length',
      { present: Uint8Array.of(1, 1), booleans: { bits: Uint8Array.of(1) } },
      /bitmap of 2 bytes/,
    ],
    ['a field without a name', { field: '', booleans: { bits: Uint8Array.of(1) } }, /a field without a name/],
    ['a control character in a name', { field: 'a\nb', booleans: { bits: Uint8Array.of(1) } }, /control character/],
  ])('%s', (_, values, detail) => {
    const error = refusal(oneColumn(values))
    expect(error.reason).toBe('malformed')
    expect(error.message).toMatch(detail)
  })

  test('strings and names beyond their limits are too_large', () => {
    expect(refusal(oneColumn({ strings: { entries: ['x'.repeat(1025)] } })).reason).toBe('too_large')
    expect(refusal(oneColumn({ field: 'x'.repeat(65), booleans: { bits: Uint8Array.of(1) } })).reason).toBe('too_large')
  })

  test('more time steps or indices than samples', () => {
    const steps = block({ time_steps: [1] })
    expect(refusal(seal({ sample_count: 1 }, { blocks: [steps] })).message).toBe('bytes are left after 0 numbers')
    expect(refusal(oneColumn({ strings: { entries: ['a'], indices: [0, 0] } })).message).toBe(
      'bytes are left after 1 numbers',
    )
  })

  test('a field that runs over the end of its message', () => {
    // Block of 3 bytes, in which a device of 5 begins.
    const body = Uint8Array.of(0x0a, 3, 0x0a, 5, ...Buffer.from('abcde'))
    expect(refusal(seal({}, body)).message).toMatch(/a message ends at byte 5, its last field at 9/)
  })

  test('a name that is not UTF-8', () => {
    const body = Buffer.from(bytesOf('Body', { blocks: [block({ device: 'zz' })] }))
    body.fill(0xff, body.indexOf('zz'), body.indexOf('zz') + 2)
    expect(refusal(seal({ sample_count: 1 }, body)).message).toBe('a device name is not UTF-8')
  })

  test('two columns with a value for the same sample', () => {
    const twice = [column({ booleans: { bits: Uint8Array.of(1) } }), column({ doubles: { values: [1] } })]
    expect(
      refusal(seal({ sample_count: 1, reading_count: 2 }, { blocks: [block({ columns: twice })] })).message,
    ).toMatch(/two columns/)
  })

  test('a time that is none', () => {
    const blocks = [block({ first_time_ms: Number.POSITIVE_INFINITY })]
    expect(refusal(seal({ sample_count: 1 }, { blocks })).message).toMatch(/no time/)
  })

  test('fields of a later minor version are skipped', () => {
    const known = bytesOf('Body', { blocks: [block({})] })
    // Field 99: a varint, eight bytes, a text, four bytes.
    const unknown = [0x98, 6, 0x96, 1, 0x99, 6, ...new Array(8).fill(1), 0x9a, 6, 2, 0x68, 0x69, 0x9d, 6, 1, 2, 3, 4]
    expect(decodeBatch(seal({ sample_count: 1 }, Buffer.concat([known, Buffer.from(unknown)]))).blocks).toHaveLength(1)
  })

  test('groups, which protobuf gave up, are refused and not followed', () => {
    expect(refusal(seal({}, new Uint8Array(1000).fill(0x9b, 0))).reason).toBe('malformed')
  })
})

describe('roll-ups', () => {
  const number = (values: number[]) => ({ doubles: { values } })
  const whole = {
    field: 'f',
    counts: number([1]),
    last_offsets_ms: number([0]),
    lasts: number([5]),
    sums: number([5]),
    spreads: number([0]),
    minimums: number([5]),
    maximums: number([5]),
  }
  const rollup = (column: object, block: object = {}) =>
    seal(
      { sequence: 7 },
      {
        rollups: [
          {
            device: 'd',
            kind: 'k',
            window_count: 1,
            width_ms: 1000,
            from_sequence: 1,
            to_sequence: 6,
            columns: [column],
            ...block,
          },
        ],
      },
    )

  test('those of these tests are themselves right', () => {
    expect(decodeBatch(rollup(whole)).rollups[0]?.columns[0]).toMatchObject({
      type: 'number',
      sums: Float64Array.of(5),
    })
  })

  test.each<[string, object, RegExp]>([
    ['no statistics', { field: 'f' }, /lacks its last values/],
    ['no counts', { ...whole, counts: undefined }, /lacks numbers for its statistic 2/],
    [
      'counts that are text',
      { ...whole, counts: { strings: { entries: ['1'] } } },
      /lacks numbers for its statistic 2/,
    ],
    ['numbers without a mean', { ...whole, sums: undefined }, /lacks numbers for its statistic 5/],
    ['booleans without their count', { ...whole, lasts: { booleans: { bits: Uint8Array.of(1) } } }, /statistic 9/],
    [
      'statistics with holes',
      { ...whole, counts: { present: Uint8Array.of(0), doubles: {} } },
      /lacks numbers for its statistic 2/,
    ],
    ['a statistic without values', { ...whole, sums: {} }, /no values in a form/],
    ['more values than windows', { ...whole, sums: number([1, 2]) }, /16 bytes where 1 values/],
  ])('%s', (_, column, detail) => {
    const error = refusal(rollup(column))
    expect(error.reason).toBe('malformed')
    expect(error.message).toMatch(detail)
  })

  test('windows that are announced and not there, or more than are allowed', () => {
    expect(refusal(rollup(whole, { window_count: 40_000 })).reason).toBe('malformed')
    expect(refusal(rollup(whole, { window_count: 0xffffffff })).reason).toBe('too_large')
    const many = { device: 'd', kind: 'k', width_ms: 1, from_sequence: 1, to_sequence: 1 }
    expect(refusal(seal({ sequence: 7 }, { rollups: new Array(8193).fill(many) })).reason).toBe('too_large')
  })

  test('statistics repeated without end use up the slots', () => {
    const steps = new Array(999).fill(0)
    const column = bytesOf('RollupColumn', { counts: { decimals: { deltas: new Array(1000).fill(0) } } })
    const repeated = Buffer.concat(new Array(201).fill(column))
    const block = bytesOf('Rollup', { device: 'd', kind: 'k', window_count: 1000, width_ms: 1, time_steps: steps })
    const length = (n: number) =>
      n < 128 ? [n] : n < 16_384 ? [(n & 127) | 128, n >>> 7] : [(n & 127) | 128, ((n >>> 7) & 127) | 128, n >>> 14]
    const withColumn = Buffer.concat([block, Buffer.from([0x3a, ...length(repeated.length)]), repeated])
    const body = Buffer.concat([Buffer.from([0x22, ...length(withColumn.length)]), withColumn])
    expect(refusal(seal({ sequence: 7 }, body)).message).toMatch(/more slots/)
  })
})

describe('bombs', () => {
  /** Bytes that decoding took at most, as far as typed arrays go. */
  const grownBy = (work: () => void): number => {
    const before = process.memoryUsage().arrayBuffers
    work()
    return process.memoryUsage().arrayBuffers - before
  }

  test('a body that inflates to more than it announces', () => {
    const bomb = seal({}, new Uint8Array(64 * 1024 * 1024), 1000)
    expect(bomb.length).toBeLessThan(100_000)
    expect(grownBy(() => refusal(bomb))).toBeLessThan(4 * 1024 * 1024)
  })
  test('a body that announces more than is allowed', () => {
    expect(refusal(seal({}, {}, BATCH_BODY_BYTES_MAX + 1)).reason).toBe('too_large')
  })
  test('a short body that announces much takes little', () => {
    const bytes = seal({}, {}, BATCH_BODY_BYTES_MAX)
    expect(grownBy(() => refusal(bytes))).toBeLessThan(1024 * 1024)
  })
  test('a block that announces samples and has none', () => {
    expect(refusal(seal({}, { blocks: [block({ sample_count: 50_000 })] })).reason).toBe('malformed')
    expect(refusal(seal({}, { blocks: [block({ sample_count: 0xffffffff })] })).reason).toBe('too_large')
  })
  test('many blocks of many samples without a field', () => {
    const full = block({ sample_count: 40_000, time_steps: new Array(39_999).fill(0) })
    expect(refusal(seal({}, { blocks: new Array(50).fill(full) })).reason).toBe('too_large')
  })
  test('many columns with one reading each in a block of many samples', () => {
    const present = new Uint8Array(5_000)
    present[0] = 1
    const sparse = Array.from({ length: 250 }, (_, i) => ({ field: `f${i}`, present, decimals: { deltas: [1] } }))
    const wide = block({ sample_count: 40_000, time_steps: new Array(39_999).fill(0), columns: sparse })
    const bytes = seal({}, { blocks: [wide] })
    expect(grownBy(() => expect(refusal(bytes).reason).toBe('too_large'))).toBeLessThan(8 * 1024 * 1024)
  })
  test('columns by the hundred thousand in blocks without a sample', () => {
    const columns = Array.from({ length: 256 }, (_, i) => ({ field: `${i}`, booleans: {} }))
    const empty = { device: 'd', kind: 'k', columns }
    expect(refusal(seal({}, { blocks: new Array(800).fill(empty) })).reason).toBe('too_large')
  })
  test('more columns, blocks or dead letters than are allowed', () => {
    const columns = Array.from({ length: 257 }, (_, i) => ({ field: `f${i}`, booleans: { bits: Uint8Array.of(1) } }))
    expect(refusal(seal({}, { blocks: [block({ columns })] })).reason).toBe('too_large')
    expect(refusal(seal({}, { blocks: new Array(8193).fill({ device: 'd', kind: 'k' }) })).reason).toBe('too_large')
    expect(refusal(seal({}, { dead_letters: new Array(DEAD_LETTERS_PER_BATCH_MAX + 1).fill({}) })).reason).toBe(
      'too_large',
    )
  })
})

test('a body changed anywhere decodes to something that can be encoded again, or ends in a DecodeError of its own', () => {
  const bodies = Object.values(goldenBatches).map((batch) => {
    const envelope = schema.lookupType('tributary.v1.Envelope').decode(encodeBatch(batch)) as unknown as {
      body: Uint8Array
    }
    return { batch, body: inflateSync(envelope.body) }
  })
  const edit = fc.record({
    at: fc.nat(),
    kind: fc.constantFrom('set', 'insert', 'remove', 'repeat'),
    byte: fc.nat(255),
    length: fc.integer({ min: 1, max: 8 }),
  })
  let accepted = 0
  fc.assert(
    fc.property(
      fc.constantFrom(...bodies),
      fc.array(edit, { minLength: 1, maxLength: 4 }),
      ({ batch, body }, edits) => {
        let bytes = [...body]
        for (const { at, kind, byte, length } of edits) {
          const place = bytes.length === 0 ? 0 : at % bytes.length
          if (kind === 'set') bytes[place] = byte
          else if (kind === 'insert') bytes.splice(place, 0, ...new Array(length).fill(byte))
          else if (kind === 'remove') bytes.splice(place, length)
          else bytes = [...bytes.slice(0, place), ...bytes.slice(place, place + length), ...bytes.slice(place)]
        }
        const { header } = batch
        const sealed = seal(
          { sequence: 7, sample_count: header.sampleCount, reading_count: header.readingCount },
          Uint8Array.from(bytes),
        )
        try {
          const decoded = decodeBatch(sealed)
          accepted++
          expect(decodeBatch(encodeBatch(decoded))).toStrictEqual(decoded)
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error
          // A TypeError inside would be a mistake of the decoder that happened to end well.
          expect(error.cause).not.toBeInstanceOf(TypeError)
        }
      },
    ),
    { numRuns: 2000 },
  )
  expect(accepted).toBeGreaterThan(0)
})
