/**
 * Reads a serial port without libuv's threads. serialport hands every read to a thread, and asks twice for what comes once, since it waits for
 * bytes only after a read that found none: at 100 samples a second that was a quarter of the agent's CPU time. The descriptor never blocks, so we
 * wait until there are bytes and take them.
 */
import { readSync } from 'node:fs'
import { errorCode } from '@tributary/runtime'
import type { SerialPort } from 'serialport'

/** What serialport's binding on Linux has, and its stream calls. */
interface LinuxBinding {
  readonly fd: number | null
  readonly isOpen: boolean
  readonly poller: { once(event: 'readable', listener: (error: Error | null) => void): void }
  read(buffer: Buffer, offset: number, length: number): Promise<{ bytesRead: number; buffer: Buffer }>
}

const NOTHING_YET = new Set(['EAGAIN', 'EINTR'])

/** Does nothing where the port is not one of Linux. */
export function readAtOnce(port: SerialPort): void {
  const binding = port.port as LinuxBinding | undefined
  if (process.platform !== 'linux' || !binding?.poller) return
  let isEmpty = false
  const readable = () =>
    new Promise<void>((resolve, reject) =>
      binding.poller.once('readable', (error) => (error ? reject(error) : resolve())),
    )
  binding.read = async (buffer, offset, length) => {
    for (;;) {
      if (isEmpty && binding.isOpen) await readable()
      if (!binding.isOpen || binding.fd === null)
        throw Object.assign(new Error('the port is closed'), { canceled: true })
      try {
        const bytesRead = readSync(binding.fd, buffer, offset, length, null)
        // A terminal that has bytes and gives none was hung up.
        if (bytesRead === 0) throw Object.assign(new Error('the line was hung up'), { disconnect: true })
        isEmpty = bytesRead < length
        return { bytesRead, buffer }
      } catch (error) {
        if (!NOTHING_YET.has(errorCode(error) ?? '')) throw error
        isEmpty = true
      }
    }
  }
}
