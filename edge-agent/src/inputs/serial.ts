/**
 * Samples from a serial port, which is opened again whenever its device was gone, and whenever its path leads to another one.
 *
 * A hang-up is told as `close`; within milliseconds of opening only as the end of the stream, or not at all. So a port that says
 * nothing for a second is asked every second whether it is still there and still the one that the path names; that does not
 * touch the line. One that is there and silent for `idle` is opened again all the same, in case the adapter hangs.
 *
 * Nothing of one device reaches the next on the same port: what is unfinished, announced columns and owed acknowledgements end with the
 * opening. Whose a sample is, the sample itself says; the config's `device` is for samples that do not say it.
 */
import type { Backoff, Clock, Logger } from '@tributary/runtime'
import { messageOf } from '@tributary/runtime'
import type { SerialPort } from 'serialport'
import type { BatchWriter } from '../batch-writer.ts'
import type { SerialInputConfig } from '../config.ts'
import { createCobs } from '../framings/cobs.ts'
import { createCsv } from '../framings/csv.ts'
import type { Frame, Framing } from '../framings/framing.ts'
import { createJsonLines } from '../framings/json-lines.ts'
import { keepOpen } from '../keep-open.ts'
import { emptyDelivery, readSample } from '../sample.ts'
import type { Input, Intake } from './input.ts'
import { createInputState, SETTLE_MS } from './input-state.ts'
import { createSerialAcknowledger, type SerialAcknowledger } from './serial-acknowledger.ts'
import { closePort, drainPort, openPort, whyPortIsGone, writeTo } from './serial-port.ts'

/** Opening a local device costs nothing, and what was plugged in again has samples that wait. */
const BACKOFF: Backoff = { firstMs: 250, maxMs: 1_000 }
/** Silent for so long: is it still there? */
const CHECK_MS = 1_000

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
  const state = createInputState({ name: config.name, type: 'serial' }, intake, clock, `opening ${config.path}`)
  let heldSinceMs: number | undefined
  let cancelRelease: (() => void) | undefined
  let isReading = true

  const release = () => {
    cancelRelease?.()
    cancelRelease = undefined
    heldSinceMs = undefined
  }
  /** There is no room: until there is, and a device that waits has had its time to send again. */
  const hold = () => {
    heldSinceMs ??= clock.wallMs()
    cancelRelease?.()
    cancelRelease = writer.whenRoom(() => {
      cancelRelease = clock.after(SETTLE_MS, release)
    })
  }
  const deliver = (frames: readonly Frame[]) => {
    for (const frame of frames) {
      const delivery = emptyDelivery(clock.wallMs())
      if ('value' in frame) readSample(frame.value, { device: config.device, kind: config.kind }, delivery)
      else delivery.refusals.push({ ...frame, device: config.device ?? '', readingCount: 0 })
      const { sequences } = delivery
      const device = delivery.samples[0]?.device ?? delivery.refusals[0]?.device ?? ''
      const stored = sequences.length > 0 ? acknowledger?.received(device, sequences) : undefined
      if (intake.accept(delivery, stored)) {
        if (heldSinceMs !== undefined) release()
        continue
      }
      hold()
      // A device that waits for the acknowledgement sends again; what any other sends now is gone.
      if (!stored) intake.shed(delivery)
    }
  }
  const onOtherDevice = (before: string, now: string) =>
    log.warn(
      { before, now, hint: 'with `acknowledge` a port carries one device; a device that waits in vain sends again' },
      'another device speaks on this port',
    )
  const openOnce = async (): Promise<string> => {
    state.opening()
    const opened = await openPort({ path: config.path, baud: config.baud, keepDtr: config.keep_dtr })
    port = opened
    const own = config.acknowledge
      ? createSerialAcknowledger(framing, (bytes) => writeTo(opened, bytes), onOtherDevice)
      : undefined
    acknowledger = own
    state.opened(`open: ${config.path}`)
    log.info({ path: config.path, baud: config.baud }, 'port open')
    try {
      return await readUntilEnd(opened)
    } finally {
      state.ended()
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
      let ended = false
      const end = (reason: string) => {
        if (ended) return
        ended = true
        cancelIdle?.()
        stopping.signal.removeEventListener('abort', onStop)
        opened.removeAllListeners('data')
        closePort(opened, clock).then(() => resolve(reason))
      }
      const onStop = () => end('stopped')
      const watch = async () => {
        const silentMs = clock.monotonicMs() - lastByteAtMs
        if (silentMs >= config.idle) return end(`${config.path} was silent for ${config.idle} ms`)
        const why = silentMs >= CHECK_MS ? await whyPortIsGone(opened, config.path) : undefined
        if (why !== undefined) return end(why)
        if (!ended) cancelIdle = clock.after(Math.min(CHECK_MS, config.idle - silentMs), () => void watch())
      }
      opened.on('data', (bytes: Buffer) => {
        lastByteAtMs = clock.monotonicMs()
        if (isReading) deliver(framing.push(bytes))
      })
      const unplugged = `${config.path} was unplugged`
      opened.once('close', (error: Error | null) => end(error ? unplugged : 'the port was closed'))
      opened.once('end', () => end(unplugged))
      opened.once('error', (error) => end(`${config.path}: ${messageOf(error)}`))
      stopping.signal.addEventListener('abort', onStop, { once: true })
      void watch()
      if (stopping.signal.aborted) onStop()
      // It may have gone before anybody listened.
      else if (!opened.isOpen || opened.closing) end(unplugged)
    })
  return {
    name: config.name,
    start: async () => {
      running = keepOpen(openOnce, {
        clock,
        signal: stopping.signal,
        log,
        backoff: BACKOFF,
        onDown: state.down,
      })
    },
    async stop(signal) {
      isReading = false
      await writer.flush(signal).catch(() => undefined)
      if (port?.isOpen) await drainPort(port, signal)
      stopping.abort(new DOMException('the input stops', 'AbortError'))
      await running
      release()
      state.stopped()
    },
    pendingSinceMs: () => (config.acknowledge ? (heldSinceMs ?? state.unsettledSinceMs) : undefined),
    status: () => state.status(heldSinceMs, 'no room in the spool: nothing is acknowledged'),
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
