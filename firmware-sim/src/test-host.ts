/** For tests: a host on a real serial port that reads what a device sends and acknowledges it when told to. */
import { encode } from '@msgpack/msgpack'
import { SerialPort } from 'serialport'
import { cobsEncode } from './cobs.ts'
import { crcBitwise, createReferenceDecoder, type Decoded } from './reference-decoder.ts'
import { csvColumns, type DeviceConfig } from './scenario.ts'

export interface TestHost {
  /** Every sample as it came, repeats included. */
  readonly samples: Decoded[]
  readonly refused: number
  /** The port was closed by the other side. */
  readonly unplugged: boolean
  acknowledge(ranges: readonly (readonly [number, number])[]): void
  close(): Promise<void>
}

export async function openTestHost(
  path: string,
  config: DeviceConfig,
  { acknowledge = true }: { acknowledge?: boolean } = {},
): Promise<TestHost> {
  const { serial } = config
  if (!serial) throw new Error(`${config.name} is not on a serial port`)
  const decode = createReferenceDecoder(
    serial.framing,
    serial.framing === 'cobs' || serial.checksum,
    serial.announce_columns ? undefined : csvColumns(config),
  )
  const port = new SerialPort({ path, baudRate: 115_200, autoOpen: false })
  const samples: Decoded[] = []
  let refused = 0
  let unplugged = false
  const send = (ranges: readonly (readonly [number, number])[]) => {
    if (!port.isOpen || ranges.length === 0) return
    if (serial.framing === 'cobs') {
      const payload = encode({ ack: ranges })
      const crc = crcBitwise(payload)
      port.write(Buffer.from([...cobsEncode(Uint8Array.from([...payload, crc >> 8, crc & 255])), 0]))
    } else port.write(`ack ${ranges.map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`)).join(',')}\n`)
  }
  port.on('data', (bytes: Buffer) => {
    const found = decode(bytes)
    refused = found.refused
    samples.push(...found.samples)
    // Newest first: a host may acknowledge in any order.
    const ranges = found.samples.map(({ sequence }): [number, number] => [Number(sequence), Number(sequence)]).reverse()
    if (acknowledge && serial.acknowledge) for (let i = 0; i < ranges.length; i += 100) send(ranges.slice(i, i + 100))
  })
  port.on('close', (error: unknown) => {
    unplugged = error !== undefined && error !== null
  })
  port.on('error', () => undefined)
  await new Promise<void>((resolve, reject) => port.open((error) => (error ? reject(error) : resolve())))
  return {
    samples,
    get refused() {
      return refused
    },
    get unplugged() {
      return unplugged
    },
    acknowledge: send,
    close: () => new Promise((resolve) => (port.isOpen ? port.close(() => resolve()) : resolve())),
  }
}
