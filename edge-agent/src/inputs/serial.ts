/**
 * Samples from a serial port. The port is opened again after it was unplugged, and after it was silent for `idle`: a hang-up within
 * milliseconds of opening can go unnoticed, and then the port stays open on a device that is no more.
 */
import { type Backoff, type Clock, errorCode, type Logger, messageOf, UserError } from '@tributary/runtime'
import type { SerialPort } from 'serialport'
import type { BatchWriter } from '../batch-writer.ts'
import type { SerialInputConfig } from '../config.ts'
import { createCobs } from '../framings/cobs.ts'
import { createCsv } from '../framings/csv.ts'
import type { Frame, Framing } from '../framings/framing.ts'
import { createJsonLines } from '../framings/json-lines.ts'
import { keepOpen } from '../keep-open.ts'
import { emptyDelivery, readSample } from '../sample.ts'
import { type Input, type InputStatus, type Intake, SETTLE_MS } from './input.ts'
import { createSerialAcknowledger, type SerialAcknowledger } from './serial-acknowledger.ts'

/** Opening a local device costs nothing, and what was plugged in again has samples that wait. */
const BACKOFF: Backoff = { firstMs: 250, maxMs: 1_000 }
const CLOSE_MS_MAX = 2_000
/** Bytes that the kernel and we read at once. */
const READ_BYTES = 16 * 1024

export interface SerialInputDependencies {
  readonly writer: BatchWriter
  readonly intake: Intake
  readonly clock: Clock
  readonly log: Logger
}

export function createSerialInput(config: SerialInputConfig, dependencies: SerialInputDependencies): Input {
  const { writer, intake, clock } = dependencies
  const log = dependencies.log.child({ input: config.name })
  const framing = createFraming(config.framing)
  const stopping = new AbortController()
  let running: Promise<void> | undefined
  let port: SerialPort | undefined
  let acknowledger: SerialAcknowledger | undefined
  let state: InputStatus['state'] = 'starting'
  let detail = `opening ${config.path}`
  let unsettledSinceMs: number | undefined
  let heldSinceMs: number | undefined
  let isReading = true

  const deliver = (frames: readonly Frame[]) => {
    for (const frame of frames) {
      const delivery = emptyDelivery(clock.wallMs())
      if ('value' in frame) readSample(frame.value, { device: config.device, kind: config.kind }, delivery)
      else delivery.refusals.push({ ...frame, device: config.device ?? '', readingCount: 0 })
      const { sequences } = delivery
      const to = acknowledger
      const stored = to && sequences.length > 0 ? () => to.stored(sequences) : undefined
      if (intake.accept(delivery, stored)) {
        heldSinceMs = undefined
        continue
      }
      heldSinceMs ??= clock.wallMs()
      // A device that waits for the acknowledgement sends again; what any other sends now is gone.
      if (!stored) intake.shed(delivery)
    }
  }
  const openOnce = async (): Promise<string> => {
    unsettledSinceMs ??= clock.wallMs()
    const opened = await openPort(config)
    port = opened
    const own = config.acknowledge ? createSerialAcknowledger(framing, (bytes) => writeTo(opened, bytes)) : undefined
    acknowledger = own
    state = 'open'
    detail = `open: ${config.path}`
    log.info({ path: config.path, baud: config.baud }, 'port open')
    const cancelSettled = clock.after(SETTLE_MS, () => {
      unsettledSinceMs = undefined
    })
    try {
      return await readUntilEnd(opened)
    } finally {
      cancelSettled()
      own?.close()
      port = undefined
      acknowledger = undefined
      if (isReading) deliver(framing.reset())
    }
  }
  /** @returns why it ended; the port is closed */
  const readUntilEnd = (opened: SerialPort): Promise<string> =>
    new Promise((resolve) => {
      let lastByteAtMs = clock.monotonicMs()
      let cancelIdle: (() => void) | undefined
      const end = (reason: string) => {
        cancelIdle?.()
        stopping.signal.removeEventListener('abort', onStop)
        opened.removeAllListeners('data')
        closePort(opened, clock).then(() => resolve(reason))
      }
      const onStop = () => end('stopped')
      const watch = () => {
        const silentMs = clock.monotonicMs() - lastByteAtMs
        if (silentMs >= config.idle) end(`${config.path} was silent for ${config.idle} ms`)
        else cancelIdle = clock.after(config.idle - silentMs, watch)
      }
      opened.on('data', (bytes: Buffer) => {
        lastByteAtMs = clock.monotonicMs()
        if (isReading) deliver(framing.push(bytes))
      })
      opened.once('close', (error: Error | null) => end(error ? `${config.path} was unplugged` : 'the port was closed'))
      opened.once('error', (error) => end(`${config.path}: ${messageOf(error)}`))
      stopping.signal.addEventListener('abort', onStop, { once: true })
      watch()
      if (stopping.signal.aborted) onStop()
    })
  return {
    name: config.name,
    start: async () => {
      running = keepOpen(openOnce, {
        clock,
        signal: stopping.signal,
        log,
        backoff: BACKOFF,
        onDown: (why, couldOpen) => {
          state = couldOpen ? 'starting' : 'down'
          detail = why
        },
      })
    },
    async stop(signal) {
      isReading = false
      await writer.flush(signal).catch(() => undefined)
      if (port?.isOpen) await drain(port, signal)
      stopping.abort(new DOMException('the input stops', 'AbortError'))
      await running
      state = 'stopped'
    },
    pendingSinceMs: () => heldSinceMs ?? (config.acknowledge ? unsettledSinceMs : undefined),
    status: () => ({
      name: config.name,
      type: 'serial',
      state: state === 'open' && heldSinceMs !== undefined ? 'held' : state,
      samples: intake.samples,
      readings: intake.readings,
      deadLetters: intake.deadLetters,
      lastSampleAtMs: intake.lastSampleAtMs,
      detail: heldSinceMs === undefined ? detail : 'no room in the spool: nothing is acknowledged',
    }),
  }
}

function createFraming(config: SerialInputConfig['framing']): Framing {
  switch (config.type) {
    case 'json-lines':
      return createJsonLines(config)
    case 'csv':
      return createCsv({ crc: config.crc, columns: config.columns })
    case 'cobs':
      return createCobs()
  }
}

async function openPort({ path, baud }: SerialInputConfig): Promise<SerialPort> {
  // Loaded only where there is a serial input: it takes 13 MB.
  const { SerialPort } = await import('serialport')
  const port = new SerialPort({ path, baudRate: baud, autoOpen: false, highWaterMark: READ_BYTES })
  await new Promise<void>((resolve, reject) =>
    port.open((error) => (error ? reject(openError(error, path)) : resolve())),
  )
  return port
}

function openError(cause: Error, path: string): UserError {
  const text = `${errorCode(cause) ?? ''} ${cause.message}`
  if (/no such file|ENOENT|cannot open .*: No such device/i.test(text))
    return new UserError(`there is no ${path}`, {
      cause,
      hint: 'plug the device in, or correct the path: `ls -l /dev/serial/by-id/` lists what is there',
    })
  if (/permission denied|EACCES/i.test(text))
    return new UserError(`no permission to open ${path}`, {
      cause,
      hint: 'add the user that runs the agent to the group `dialout`',
    })
  if (/lock|busy|EBUSY|temporarily unavailable/i.test(text))
    return new UserError(`another program has ${path} open`, { cause, hint: `\`fuser -v ${path}\` names it` })
  if (/inappropriate ioctl|ENOTTY|is a directory|EISDIR|not a tty/i.test(text))
    return new UserError(`${path} is no serial port`, {
      cause,
      hint: '`ls -l /dev/serial/by-id/` lists those there are',
    })
  return new UserError(`${path} cannot be opened: ${cause.message}`, { cause })
}

const closePort = (port: SerialPort, clock: Clock): Promise<void> =>
  new Promise((resolve) => {
    const cancel = clock.after(CLOSE_MS_MAX, resolve)
    const done = () => {
      cancel()
      resolve()
    }
    port.removeAllListeners('close')
    port.on('error', () => undefined)
    if (port.isOpen) port.close(done)
    else done()
  })

const writeTo = (port: SerialPort, bytes: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) =>
    port.write(Buffer.from(bytes), undefined, (error) => (error ? reject(error) : resolve())),
  )

const drain = (port: SerialPort, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
    if (signal.aborted) resolve()
    port.write(Buffer.alloc(0), undefined, () => port.drain(() => resolve()))
  })
