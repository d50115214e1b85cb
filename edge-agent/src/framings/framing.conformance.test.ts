import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cobsFrame, createCobs } from './cobs.ts'
import { crc16 } from './crc16.ts'
import { createCsv } from './csv.ts'
import { FRAME_BYTES_MAX, type Frame, type Framing } from './framing.ts'
import { createJsonLines } from './json-lines.ts'

type Row = Readonly<Record<string, number | string | boolean | null>>
const COLUMNS = ['sequence', 'temperature_c', 'state', 'on']

const withCrc = (line: string) => `${line}*${crc16(Buffer.from(line)).toString(16).toUpperCase().padStart(4, '0')}\n`
const csvValue = (value: Row[string] | undefined) =>
  value === null || value === undefined
    ? ''
    : typeof value === 'string'
      ? `"${value.replaceAll('"', '""')}"`
      : String(value)
const csvLine = (row: Row) => COLUMNS.map((column) => csvValue(row[column])).join(',')

const FRAMINGS: {
  name: string
  create: () => Framing
  write: (row: Row) => Uint8Array
  checked: boolean
  end: number
}[] = [
  {
    name: 'JSON lines',
    create: () => createJsonLines({ crc: false }),
    write: (row) => Buffer.from(`${JSON.stringify(row)}\n`),
    checked: false,
    end: 10,
  },
  {
    name: 'JSON lines with checksum',
    create: () => createJsonLines({ crc: true }),
    write: (row) => Buffer.from(withCrc(JSON.stringify(row))),
    checked: true,
    end: 10,
  },
  {
    name: 'CSV',
    create: () => createCsv({ crc: false, columns: COLUMNS }),
    write: (row) => Buffer.from(`${csvLine(row)}\n`),
    checked: false,
    end: 10,
  },
  {
    name: 'CSV with checksum',
    create: () => createCsv({ crc: true, columns: COLUMNS }),
    write: (row) => Buffer.from(withCrc(csvLine(row))),
    checked: true,
    end: 10,
  },
  { name: 'COBS', create: createCobs, write: (row) => cobsFrame(encode(row)), checked: true, end: 0 },
]

const row: fc.Arbitrary<Row> = fc.record({
  sequence: fc.nat(),
  temperature_c: fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x + 0),
    fc.constant(null),
  ),
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a string in a line cannot hold a line break
  state: fc.string({ unit: 'binary', maxLength: 40 }).map((text) => text.replace(/[\u0000-\u001f\ufeff]/g, '')),
  on: fc.boolean(),
})
/** MessagePack gives integers of 64 bits as bigint; those here all fit. */
const plain = (value: unknown): unknown =>
  Object.fromEntries(
    Object.entries(value as Row).map(([key, item]) => [
      key,
      typeof item === 'bigint' && key !== 'a' ? Number(item) : item,
    ]),
  )
const values = (frames: readonly Frame[]) => frames.flatMap((frame) => ('value' in frame ? [plain(frame.value)] : []))
const reasons = (frames: readonly Frame[]) => frames.flatMap((frame) => ('reason' in frame ? [frame.reason] : []))
const pushInPieces = (framing: Framing, bytes: Uint8Array, pieces: readonly number[]): Frame[] => {
  const frames: Frame[] = []
  let at = 0
  for (const length of pieces) {
    frames.push(...framing.push(bytes.subarray(at, at + length)))
    at += length
  }
  return [...frames, ...framing.push(bytes.subarray(at))]
}

describe.each(FRAMINGS)('$name', ({ name, create, write, checked, end }) => {
  test('reads what was written, however the bytes come in', () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 10 }), fc.array(fc.nat(50)), (rows, pieces) => {
        const frames = pushInPieces(create(), Buffer.concat(rows.map(write)), pieces)
        expect(frames.map((frame) => ('value' in frame ? plain(frame.value) : frame))).toEqual(rows)
      }),
    )
  })

  test('never throws, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), (chunks) => {
        const framing = create()
        for (const chunk of chunks) framing.push(chunk)
        framing.reset()
      }),
    )
  })

  test('after noise that ends with a delimiter the next frame is whole', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), row, (noise, good) => {
        const frames = create().push(Buffer.concat([noise, Uint8Array.of(end), write(good)]))
        expect(values(frames).at(-1)).toEqual(good)
      }),
    )
  })

  test('directly behind noise without a delimiter a good frame is found, wherever it can be told', () => {
    // Without a checksum nobody can tell where a CSV line begins, nor a JSON line behind a brace.
    if (name === 'CSV') return
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), row, (bytes, good) => {
        const free = bytes.filter((byte) => byte !== end && (checked || byte !== 0x7b))
        // Noise that ends like text could be part of a first value.
        const noise = name.startsWith('CSV') ? Uint8Array.of(...free, 0xff) : free
        fc.pre(noise.length > 0 && noise[0] !== 0x23)
        const frames = create().push(Buffer.concat([noise, write(good)]))
        expect(values(frames)).toEqual([good])
        // White space before a JSON object is none.
        if (Buffer.from(noise).toString('latin1').trim() !== '') expect(reasons(frames)).toEqual(['noise'])
      }),
      // Seeded: sixteen bits agree by chance once in a while.
      { numRuns: 300, seed: 5 },
    )
  })

  test('a frame that was cut without its delimiter costs itself, not the next one', () => {
    if (!checked) return
    fc.assert(
      fc.property(row, row, fc.nat(), (hit, good, at) => {
        const whole = write(hit)
        const cut = whole.subarray(0, 1 + (at % (whole.length - 6)))
        // Within its first value it could be the beginning of the next one.
        fc.pre(cut[0] !== 0x23 && (!name.startsWith('CSV') || cut.includes(0x2c)))
        const frames = create().push(Buffer.concat([cut, write(good), write(good)]))
        expect(values(frames)).toEqual([good, good])
      }),
      { numRuns: 300, seed: 11 },
    )
  })

  test('a long stretch of noise costs little time', () => {
    const framing = create()
    const noise = Buffer.alloc(FRAME_BYTES_MAX, end === 0 ? 0x81 : 0x7b)
    noise.write('*0000', noise.length - 5)
    noise[noise.length - 1] = end
    const started = performance.now()
    for (let i = 0; i < 20; i++) framing.push(noise)
    expect((performance.now() - started) / 20).toBeLessThan(50)
  })

  test('a flipped bit costs its own frame and no other', () => {
    if (!checked) return
    fc.assert(
      fc.property(row, row, row, fc.nat(), fc.nat(7), (before, hit, after, at, bit) => {
        const damaged = Buffer.from(write(hit))
        // The delimiter itself is another case: without it two frames become one.
        const place = at % (damaged.length - 1)
        damaged[place] = (damaged[place] as number) ^ (1 << bit)
        fc.pre(!damaged.subarray(0, -1).includes(end) && damaged[0] !== 0x23)
        const frames = create().push(Buffer.concat([write(before), damaged, write(after)]))
        // The suffix of a text line means the same in upper and lower case.
        expect(values(frames).filter((value) => JSON.stringify(value) !== JSON.stringify(hit))).toEqual(
          [before, after].filter((one) => JSON.stringify(one) !== JSON.stringify(hit)),
        )
      }),
    )
  })

  test('a frame that is too long is refused once, with its beginning, and the next is read', () => {
    const good = { sequence: 1, temperature_c: 2, state: 'x', on: true }
    const framing = create()
    const long = Buffer.alloc(FRAME_BYTES_MAX * 3, 0x61)
    const frames = [...framing.push(long), ...framing.push(Uint8Array.of(end)), ...framing.push(write(good))]
    expect(reasons(frames)).toEqual([end === 0 ? 'frame_too_long' : 'line_too_long'])
    expect(values(frames)).toEqual([good])
    expect(frames[0]?.original.length).toBeLessThanOrEqual(FRAME_BYTES_MAX + 1)
  })

  test('what is unfinished when the port closes is given up as such', () => {
    const framing = create()
    const good = { sequence: 1, temperature_c: 2, state: 'x', on: true }
    framing.push(write(good).subarray(0, 5))
    expect(reasons(framing.reset())).toEqual(['cut_short'])
    expect(values(framing.push(write(good)))).toEqual([good])
    expect(framing.reset()).toEqual([])
  })

  test('acknowledgements stay within the length of a frame', () => {
    const ranges = Array.from({ length: 1_000 }, (_, i) => [2 ** 52 + i * 3, 2 ** 52 + i * 3 + 1] as const)
    const bytes = create().encodeAcknowledgement(ranges)
    let length = 0
    for (const byte of bytes) {
      length = byte === end ? 0 : length + 1
      expect(length).toBeLessThanOrEqual(FRAME_BYTES_MAX)
    }
    expect(bytes.at(-1)).toBe(end)
  })
})

describe('as docs/serial-framings.md says', () => {
  test('CRC-16/CCITT-FALSE', () => {
    expect(crc16(Buffer.from('123456789'))).toBe(0x29b1)
    expect(crc16(new Uint8Array(0))).toBe(0xffff)
  })

  test('its example bytes', () => {
    expect(
      values(createJsonLines({ crc: true }).push(Buffer.from('{"sequence":7,"temperature_c":21.5}*862B\r\n'))),
    ).toEqual([{ sequence: 7, temperature_c: 21.5 }])
    const csv = createCsv({ crc: true, columns: undefined })
    expect(
      values(csv.push(Buffer.from('#columns: sequence,time_ms,temperature_c*2D69\n7,1760000000000,21.5*F6CB\n'))),
    ).toEqual([{ sequence: 7, time_ms: 1_760_000_000_000, temperature_c: 21.5 }])
    const frame =
      '1E 82 A8 73 65 71 75 65 6E 63 65 07 AD 74 65 6D 70 65 72 61 74 75 72 65 5F 63 CB 40 35 80 01 01 01 01 03 64 5A 00'
    expect(values(createCobs().push(Buffer.from(frame.replaceAll(' ', ''), 'hex')))).toEqual([
      { sequence: 7, temperature_c: 21.5 },
    ])
  })

  test('its acknowledgements', () => {
    const ranges = [
      [101, 225],
      [227, 227],
    ] as const
    expect(Buffer.from(createJsonLines({ crc: false }).encodeAcknowledgement(ranges)).toString()).toBe(
      'ack 101-225,227\n',
    )
    expect(Buffer.from(createJsonLines({ crc: true }).encodeAcknowledgement(ranges)).toString()).toBe(
      'ack 101-225,227*4D4F\n',
    )
    const frame = '12 81 A3 61 63 6B 92 92 65 CC E1 92 CC E3 CC E3 11 29 00'
    expect(Buffer.from(createCobs().encodeAcknowledgement(ranges)).toString('hex')).toBe(
      frame.replaceAll(' ', '').toLowerCase(),
    )
  })

  const refusal = (framing: Framing, text: string) => reasons(framing.push(Buffer.from(text)))

  test('comments and empty lines are ignored; a suffix that is there is verified', () => {
    const framing = createJsonLines({ crc: false })
    expect(framing.push(Buffer.from('# booted\n\n\r\n'))).toEqual([])
    expect(refusal(framing, '{"a":1}*0000\n')).toEqual(['bad_checksum'])
    expect(refusal(createJsonLines({ crc: true }), '{"a":1}\n')).toEqual(['no_checksum'])
    expect(refusal(framing, '{"a":NaN}\n')).toEqual(['not_json'])
    expect(refusal(framing, '{"a":"\xff"}\n')).toEqual([])
    expect(reasons(framing.push(Buffer.from('{"a":"\xff"}\n', 'latin1')))).toEqual(['not_utf8'])
  })

  test('CSV: columns, quotes, numbers, what is missing', () => {
    const csv = createCsv({ crc: false, columns: undefined })
    expect(refusal(csv, '1,2\n')).toEqual(['no_columns'])
    expect(refusal(csv, '#columns: a,a\n#columns: A\n#columns: \n')).toEqual([
      'bad_columns',
      'bad_columns',
      'bad_columns',
    ])
    expect(values(csv.push(Buffer.from('#columns: a,b,c,d\n-1.5e3,true,,"say ""hi"", 2"\n01,+1,.5,idle\n')))).toEqual([
      { a: -1_500, b: true, c: null, d: 'say "hi", 2' },
      { a: '01', b: '+1', c: '.5', d: 'idle' },
    ])
    expect(refusal(csv, '1,2,3\n1,2,3,4,5\n"a\n"a"b,1,2,3\n')).toEqual([
      'wrong_column_count',
      'wrong_column_count',
      'not_csv',
      'not_csv',
    ])
    csv.reset()
    expect(refusal(csv, '1,2,3,4\n')).toEqual(['no_columns'])
  })

  test('noise before a good line on the same line does not cost the line', () => {
    const noisy = Buffer.concat([Buffer.from([0xff, 0x7b, 0x00, 0xfe]), Buffer.from(withCrc('{"sequence":8}'))])
    const frames = createJsonLines({ crc: true }).push(noisy)
    expect(reasons(frames)).toEqual(['noise'])
    expect(values(frames)).toEqual([{ sequence: 8 }])
    const csv = createCsv({ crc: true, columns: ['sequence'] }).push(
      Buffer.concat([Buffer.from([0x80, 0x03]), Buffer.from(withCrc('9'))]),
    )
    expect(values(csv)).toEqual([{ sequence: 9 }])
    expect(values(createJsonLines({ crc: false }).push(Buffer.from('xx{"a":1}\n')))).toEqual([{ a: 1 }])
    // The inner map of a damaged line is not a sample.
    expect(values(createJsonLines({ crc: false }).push(Buffer.from('{"t":1,"meta":{"rssi":5}\n')))).toEqual([])
  })

  test('integers beyond 2^53 stay exact until they are refused', () => {
    const big = 2n ** 53n + 1n
    const csv = createCsv({ crc: false, columns: ['sequence', 'a'] })
    expect(values(csv.push(Buffer.from(`1,${big}\n`)))).toEqual([{ sequence: 1, a: big }])
    expect(values(createJsonLines({ crc: false }).push(Buffer.from(`{"a":${big}}\n`)))).toEqual([{ a: big }])
  })

  test('MessagePack: what is no map of flat values, or damaged, is refused; 64-bit integers stay exact', () => {
    const cobs = createCobs()
    expect(values(cobs.push(cobsFrame(encode({ a: 2n ** 60n }, { useBigInt64: true }))))).toEqual([{ a: 2n ** 60n }])
    expect(reasons(cobs.push(cobsFrame(Uint8Array.of(0xc1))))).toEqual(['not_msgpack'])
    expect(reasons(cobs.push(cobsFrame(Buffer.concat([encode({ a: 1 }), encode(2)]))))).toEqual(['not_msgpack'])
    expect(reasons(cobs.push(Uint8Array.of(9, 1, 0)))).toEqual(['bad_cobs'])
    expect(reasons(cobs.push(Uint8Array.of(2, 1, 0)))).toEqual(['cut_short'])
  })
})
