/**
 * A serial port: raw, 8 data bits, no parity, 1 stop bit, no flow control, locked for us alone.
 *
 * DTR: the kernel raises it at the first opening, and many boards (those that are programmed like an Arduino) start anew at that edge. It would
 * lower it again at the last close, so that each re-opening were a reset. We take that back (HUPCL off): DTR stays up between our
 * openings, also when the agent ends. serialport's `hupcl: false` does not: it sets the flag or leaves it, and a port has it by default.
 */
import { spawn } from 'node:child_process'
import { fstat } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { promisify } from 'node:util'
import { type Clock, errorCode, UserError } from '@tributary/runtime'
import type { SerialPort } from 'serialport'
import { portHolders } from './port-holders.ts'
import { readAtOnce } from './read-at-once.ts'

const CLOSE_MS_MAX = 2_000
const STTY_MS_MAX = 1_000
/** Bytes that the kernel and we read at once. */
const READ_BYTES = 16 * 1024

export interface PortOptions {
  readonly path: string
  readonly baud: number
  /** Leave DTR up when the port is closed. */
  readonly keepDtr: boolean
}

/** @throws UserError that says what to do; the port may be closed by the other side before this resolves */
export async function openPort({ path, baud, keepDtr }: PortOptions): Promise<SerialPort> {
  // Loaded only where there is a serial port: it takes 13 MB.
  const { SerialPort } = await import('serialport')
  const port = new SerialPort({ path, baudRate: baud, autoOpen: false, highWaterMark: READ_BYTES, hupcl: !keepDtr })
  // A port that fails while nobody listens must not end the process.
  port.on('error', () => undefined)
  try {
    await new Promise<void>((resolve, reject) => port.open((error) => (error ? reject(error) : resolve())))
  } catch (error) {
    throw await openError(error as Error, path)
  }
  readAtOnce(port)
  // Nobody waits for it: bytes come already.
  if (keepDtr) keepDtrUp(port)
  return port
}

/** The descriptor of an open port; undefined where the platform has none. */
const descriptorOf = (port: SerialPort): number | undefined => {
  const binding = port.port as { fd?: number | null } | undefined
  return binding?.fd ?? undefined
}

/**
 * By way of the descriptor that is open, so that it is this port whatever its name leads to by now; but not inherited, because Node
 * makes an inherited standard input blocking, for us too. Where there is no `stty`, DTR falls at closing.
 */
function keepDtrUp(port: SerialPort): void {
  const descriptor = descriptorOf(port)
  if (process.platform !== 'linux' || descriptor === undefined) return
  const device = `/proc/${process.pid}/fd/${descriptor}`
  spawn('stty', ['-F', device, '-hupcl'], { stdio: 'ignore', timeout: STTY_MS_MAX }).once('error', () => undefined)
}

/**
 * Whether an open port is still the device that its path names; asks without touching the line.
 * @returns why it is not; undefined when it is, or when that cannot be told
 */
export async function whyPortIsGone(port: SerialPort, path: string): Promise<string | undefined> {
  const descriptor = descriptorOf(port)
  if (process.platform !== 'linux' || descriptor === undefined || !port.isOpen) return undefined
  const [open, named, answers] = await Promise.all([
    promisify(fstat)(descriptor).catch(() => undefined),
    stat(path).catch(() => undefined),
    // After a hang-up every question to the terminal is answered with EIO.
    (port.port as unknown as { getBaudRate(): Promise<unknown> }).getBaudRate().then(
      () => true,
      () => false,
    ),
  ])
  if (!port.isOpen) return undefined
  if (!answers) return `${path} was unplugged`
  if (!named) return `there is no ${path} any more`
  return open && open.rdev !== named.rdev ? `${path} leads to another device now` : undefined
}

async function openError(cause: Error, path: string): Promise<UserError> {
  const text = `${errorCode(cause) ?? ''} ${cause.message}`
  if (/no such file|ENOENT|no such device|ENXIO|ENODEV/i.test(text))
    return new UserError(`there is no ${path}`, {
      cause,
      hint: 'plug the device in, or correct the path: `ls -l /dev/serial/by-id/` lists what is there',
    })
  if (/permission denied|EACCES/i.test(text)) {
    const group = await groupOf(path)
    return new UserError(`no permission to open ${path}`, {
      cause,
      hint: `\`sudo usermod -a -G ${group} ${userName()}\`, then start the program anew: only members of the group \`${group}\` may use the port`,
    })
  }
  if (/lock|busy|EBUSY|temporarily unavailable/i.test(text)) return busyError(cause, path)
  if (/inappropriate ioctl|ENOTTY|is a directory|EISDIR|not a tty/i.test(text))
    return new UserError(`${path} is no serial port`, {
      cause,
      hint: '`ls -l /dev/serial/by-id/` lists those there are',
    })
  return new UserError(`${path} cannot be opened: ${cause.message}`, { cause })
}

async function busyError(cause: Error, path: string): Promise<UserError> {
  const holders = await portHolders(path)
  const others = holders.filter(({ pid }) => pid !== process.pid)
  if (others.length === 0 && holders.length > 0)
    return new UserError(`another input of this agent has the port open that ${path} leads to`, {
      cause,
      hint: 'give each input a port of its own; `ls -l` shows where the names lead',
    })
  const named = others.map(({ pid, command }) => `${command} (process ${pid})`).join(', ')
  return new UserError(`another program has ${path} open${named && `: ${named}`}`, {
    cause,
    hint: named ? 'stop it: one program at a time can read a port' : `\`sudo fuser -v ${path}\` names it`,
  })
}

/** `dialout` on Debian and Raspberry Pi OS; `uucp` elsewhere: the one that the port belongs to. */
async function groupOf(path: string): Promise<string> {
  const [port, groups] = await Promise.all([
    stat(path).catch(() => undefined),
    readFile('/etc/group', 'utf8').catch(() => ''),
  ])
  const line = groups.split('\n').find((one) => one.split(':')[2] === String(port?.gid))
  const name = line?.split(':')[0]
  return name === undefined || name === 'root' || name === 'tty' ? 'dialout' : name
}

function userName(): string {
  try {
    return userInfo().username
  } catch {
    return 'USER'
  }
}

/** Waits for the descriptor to be closed, though not for ever: a driver may wait for bytes that the device does not take. */
export const closePort = (port: SerialPort, clock: Clock): Promise<void> =>
  new Promise((resolve) => {
    const cancel = clock.after(CLOSE_MS_MAX, resolve)
    const done = () => {
      cancel()
      resolve()
    }
    port.removeAllListeners('close')
    if (port.isOpen && !port.closing) port.close(done)
    else if (port.closing) port.once('close', done)
    else done()
  })

export const writeTo = (port: SerialPort, bytes: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) =>
    port.write(Buffer.from(bytes), undefined, (error) => (error ? reject(error) : resolve())),
  )

/** Resolves when all that was written has left, or the signal aborts. */
export const drainPort = (port: SerialPort, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (signal.aborted) resolve()
    port.write(Buffer.alloc(0), undefined, () => port.drain(() => resolve()))
  })
