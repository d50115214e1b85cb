import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseFrame, parseLine } from './acknowledgement.ts'
import { cobsDecode, cobsEncode } from './cobs.ts'
import { crc16 } from './crc16.ts'
import { createDeviceModels, type DeviceModel } from './device-model.ts'
import { createFraming } from './framing.ts'
import { flipBytes } from './line-fault.ts'
import { crcBitwise, createReferenceDecoder } from './reference-decoder.ts'
import { csvColumns, scenarioSchema } from './scenario.ts'

const bytes = fc.uint8Array({ maxLength: 1_200 })
const hex = (text: string) => Uint8Array.from(text.trim().split(/\s+/), (byte) => Number.parseInt(byte, 16))

describe('CRC-16 and COBS', () => {
  it('have the published check value, and agree with the definition', () => {
    expect(crc16(Buffer.from('123456789'))).toBe(0x29b1)
    expect(crc16(new Uint8Array(0))).toBe(0xffff)
    fc.assert(fc.property(bytes, (data) => crc16(data) === crcBitwise(data)))
  })
  it('encode as the examples of Cheshire and Baker do', () => {
    expect(cobsEncode(hex('00'))).toEqual(hex('01 01'))
    expect(cobsEncode(hex('11 22 00 33'))).toEqual(hex('03 11 22 02 33'))
    expect(cobsEncode(hex('11 00 00 00'))).toEqual(hex('02 11 01 01 01'))
    const long = Uint8Array.from({ length: 254 }, (_, i) => i + 1)
    expect(cobsEncode(long)).toEqual(Uint8Array.from([255, ...long]))
    expect(cobsEncode(Uint8Array.from([...long, 255]))).toEqual(Uint8Array.from([255, ...long, 2, 255]))
  })
  it('leave no zero, and decode to what was encoded', () => {
    const zeros = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 255 })), { maxLength: 900 })
    fc.assert(
      fc.property(zeros, (data) => {
        const encoded = cobsEncode(Uint8Array.from(data))
        expect(encoded).not.toContain(0)
        expect(cobsDecode(encoded)).toEqual(Uint8Array.from(data))
      }),
    )
    fc.assert(fc.property(bytes, (data) => void cobsDecode(data)))
  })
})

const model = (serial: Record<string, unknown>, deviceClass = 'tank', clock = 'own') => {
  const devices = [{ name: 'd-1', class: deviceClass, clock, serial: { acknowledge: clock === 'own', ...serial } }]
  const scenario = scenarioSchema.parse({ name: 'test', devices })
  const run = { seed: 3, startedAtMs: 1_772_000_000_000, rate: undefined, scenario, firstSequences: {} }
  return createDeviceModels(run)[0] as DeviceModel
}
const setups = [
  { framing: 'json', checksum: true },
  { framing: 'json', checksum: false, announce: true },
  { framing: 'csv', checksum: true, announce_columns: true },
  { framing: 'csv', checksum: false },
  { framing: 'cobs' },
  { framing: 'cobs', announce: true },
] as const

describe.each(setups)('framing %j', (serial) => {
  it.each(['pump', 'thermometer', 'power_meter', 'tank'])(
    'of a %s decodes independently, in pieces of any size',
    (name) => {
      const device = model(serial, name)
      const { serial: config } = device.config
      if (!config) throw new Error('no serial device')
      const framing = createFraming(device.config, config)
      const samples = Array.from({ length: 40 }, (_, i) => device.sample(i + 1))
      const wire = Buffer.concat([framing.greeting(), ...samples.map((sample) => framing.encode(sample))])
      const expected = samples.map(({ fields, values, timeMs, device, kind }) => ({
        ...('announce' in serial ? { device, kind } : {}),
        time_ms: timeMs,
        ...Object.fromEntries(fields.map((field, i) => [field, values[i]])),
      }))
      fc.assert(
        fc.property(fc.integer({ min: 1, max: 200 }), (size) => {
          const decode = createReferenceDecoder(serial.framing, config.checksum, csvColumns(device.config))
          const found = []
          for (let at = 0; at < wire.length; at += size) found.push(...decode(wire.subarray(at, at + size)).samples)
          expect(found).toEqual(expected)
        }),
        { numRuns: 10 },
      )
    },
  )
  it('sends no time without a clock', () => {
    const device = model(serial, 'tank', 'none')
    const framing = createFraming(device.config, device.config.serial as NonNullable<typeof device.config.serial>)
    const decode = createReferenceDecoder(
      serial.framing,
      device.config.serial?.checksum ?? true,
      csvColumns(device.config),
    )
    const [sample] = decode(framing.encode(device.sample(5))).samples
    expect(sample).toMatchObject({ sequence: 5 })
    expect(sample).not.toHaveProperty('time_ms')
  })
})

it('damage on the line is always seen by the checksum', () => {
  for (const framing of ['json', 'csv', 'cobs'] as const) {
    const device = model({ framing })
    const encoder = createFraming(device.config, device.config.serial as NonNullable<typeof device.config.serial>)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 0, max: 2 ** 32 - 1 }), (sequence, random) => {
        const frame = encoder.encode(device.sample(sequence))
        const decode = createReferenceDecoder(framing, true, csvColumns(device.config))
        expect(decode(flipBytes(frame, encoder.delimiter, random)).samples).toEqual([])
        expect(decode(encoder.encode(device.sample(sequence), 1 + (random % 0xffff))).samples).toEqual([])
        // And the next frame is whole again.
        expect(decode(frame).samples).toHaveLength(1)
      }),
      { numRuns: 300, seed: 11 },
    )
  }
})

describe('acknowledgements', () => {
  it('are read as the page says', () => {
    expect(parseLine(Buffer.from('ack 101-225,227'))).toEqual([
      [101, 225],
      [227, 227],
    ])
    expect(parseLine(Buffer.from('ack 101-225,227*4D4F\r'))).toEqual([
      [101, 225],
      [227, 227],
    ])
    expect(parseFrame(hex('12 81 A3 61 63 6B 92 92 65 CC E1 92 CC E3 CC E3 11 29'))).toEqual([
      [101, 225],
      [227, 227],
    ])
  })
  it('that are garbled or no such thing are ignored', () => {
    for (const line of ['ack 101-226,227*4D4F', 'ack', 'ack 1-', 'ack x', 'nack 1', '{"ack":[[1,2]]}'])
      expect(parseLine(Buffer.from(line))).toBeUndefined()
    expect(parseFrame(hex('12 81 A3 61 63 6B 92 92 65 CC E1 92 CC E3 CC E3 11 28'))).toBeUndefined()
    fc.assert(fc.property(bytes, (data) => void parseFrame(data)))
    fc.assert(fc.property(bytes, (data) => void parseLine(data)))
  })
})

describe('docs/serial-framings.md', () => {
  const page = readFileSync(fileURLToPath(new URL('../../docs/serial-framings.md', import.meta.url)), 'utf8')
  it('shows lines and frames that are right', () => {
    const lines = [...page.matchAll(/`?([^`\n|]+)\*([0-9A-F]{4})(?=\\n`|`|\n)/g)].filter(
      ([, text]) => text !== undefined,
    )
    expect(lines.length).toBeGreaterThanOrEqual(5)
    for (const [, text = '', sum = ''] of lines)
      expect(crcBitwise(Buffer.from(text)).toString(16).toUpperCase()).toBe(sum)
    const frame = page.split('\n').find((line) => line.startsWith('1E 82 A8'))
    const decode = createReferenceDecoder('cobs', true)
    expect(decode(hex(frame ?? '')).samples).toEqual([{ sequence: 7, temperature_c: 21.5 }])
  })

  const compiler = ['cc', 'gcc', 'clang'].find((name) => {
    try {
      execFileSync(name, ['--version'], { stdio: 'ignore' })
      return true
    } catch {
      return false
    }
  })
  it.skipIf(compiler === undefined)(
    'has an example in C that compiles without a warning and sends what the page says',
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'framings-'))
      try {
        const example = /```c\n(.*?)```/s.exec(page)?.[1] ?? ''
        const main = `
        void uart_write(const uint8_t *bytes, size_t length) { fwrite(bytes, 1, length, stdout); }
        static void forget(unsigned long long first, unsigned long long last) { printf("forget %llu-%llu\\n", first, last); }
        int main(int count, char **arguments) {
          (void)arguments;
          if (count == 2) { for (uint64_t i = 1; i <= 300; i++) send_sample(i, 1760000000000ULL + i * 10, (double)i / 8, i % 3 == 0); return 0; }
          send_line("{\\"sequence\\":7,\\"temperature_c\\":21.5}");
          char good[] = "ack 101-225,227*4D4F", bad[] = "ack 101-226,227*4D4F";
          return read_ack(good, forget) && !read_ack(bad, forget) ? 0 : 1;
        }`
        writeFileSync(join(folder, 'example.c'), example + main)
        execFileSync(compiler as string, [
          '-Wall',
          '-Wextra',
          '-Werror',
          '-o',
          join(folder, 'example'),
          join(folder, 'example.c'),
        ])
        expect(execFileSync(join(folder, 'example')).toString()).toBe(
          '{"sequence":7,"temperature_c":21.5}*862B\nforget 101-225\nforget 227-227\n',
        )
        const { samples, refused } = createReferenceDecoder(
          'cobs',
          true,
        )(execFileSync(join(folder, 'example'), ['binary']))
        expect(refused).toBe(0)
        expect(samples).toEqual(
          Array.from({ length: 300 }, (_, i) => ({
            sequence: i + 1,
            time_ms: 1_760_000_000_000 + (i + 1) * 10,
            temperature_c: (i + 1) / 8,
            pump_on: (i + 1) % 3 === 0,
          })),
        )
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
  )
})
