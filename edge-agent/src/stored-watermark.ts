/**
 * What the gateway relays of the store: how far everything is there, and which gateway says so.
 *
 * Guarantee: `through` never lies beyond a record of this spool that the processor has not said to be in the store.
 * A gateway whose spool has another epoch than before has lost what it acknowledged; that is told until `resent` was called, and
 * after a restart again.
 */
import { decodeHeader, parseControlMessage, storedRelay } from '@tributary/protocol'
import { type FileSystem, type Logger, messageOf, readFileWhole, writeFileAtomic } from '@tributary/runtime'
import type { Spool } from '@tributary/spool'
import { z } from 'zod'

export interface StoredWatermark {
  /** Every sequence of the spool up to here is in the store, or is not in the spool any more. */
  readonly through: number
  /** Of the spool of the gateway heard of last; undefined before the first message. */
  readonly gatewayEpoch: string | undefined
  /** A message on `…/stored`. */
  relayed(payload: Uint8Array): Promise<void>
  /** What the gateway of this epoch had lost was sent again. */
  resent(gatewayEpoch: string): Promise<void>
}

export const gatewayFilePath = (spoolFolder: string): string => `${spoolFolder.replace(/\/+$/, '')}.gateway`

const EPOCHS_MAX = 16
const gatewayFile = z.object({ gatewayEpoch: z.string() })

export async function openStoredWatermark(
  path: string,
  spool: Spool,
  dependencies: {
    readonly log: Logger
    readonly fileSystem?: FileSystem
    /** Trimmed is what was stored; else only what is not there any more counts at the start. */
    readonly trimmedIsStored: boolean
    /**
     * @param gatewayEpoch the gateway lost what it had acknowledged: what lies beyond `through` is to be sent again
     * @param first it is the first of which we know
     * @returns whether that is under way; else it is told again with the next message
     */
    readonly onGatewayLost: (gatewayEpoch: string, first: boolean) => boolean
    readonly onMoved: () => void
  },
): Promise<StoredWatermark> {
  const { log, fileSystem, trimmedIsStored, onGatewayLost, onMoved } = dependencies
  const watermarks = new Map<string, number>()
  let through = Math.max(spool.firstSequence - 1, trimmedIsStored ? spool.trimmedThrough : 0)
  let gatewayEpoch: string | undefined
  let toldEpoch: string | undefined
  /** The gateway that has, or had, all that it acknowledged. */
  let settledEpoch = await read()
  let advancing: Promise<void> = Promise.resolve()

  async function read(): Promise<string | undefined> {
    try {
      const bytes = await readFileWhole(path, fileSystem)
      return bytes && gatewayFile.parse(JSON.parse(Buffer.from(bytes).toString('utf8'))).gatewayEpoch
    } catch (error) {
      log.warn({ path, error: messageOf(error) }, 'it is not known which gateway was the last: the file cannot be read')
      return undefined
    }
  }
  /** Records of several epochs lie one after the other; each has a watermark of its own. */
  const advance = async () => {
    for (;;) {
      const next = (await spool.read(Math.max(through + 1, spool.firstSequence), 1))[0]
      if (!next) return
      // What was lost before it, or trimmed, is not here to be kept.
      through = Math.max(through, next.sequence - 1)
      const epoch = epochOf(next.payload)
      // No batch: no watermark will ever cover it, so being sent is all it waits for.
      const stored = epoch === undefined ? Math.min(next.sequence, spool.sentThrough) : (watermarks.get(epoch) ?? 0)
      if (stored <= through) return
      through = Math.min(stored, spool.nextSequence - 1)
    }
  }
  return {
    get through() {
      return through
    },
    get gatewayEpoch() {
      return gatewayEpoch
    },
    async relayed(payload) {
      const message = parseControlMessage(storedRelay, payload)
      if (!message) {
        log.warn({ bytes: payload.length }, 'a message of the gateway about the store could not be read')
        return
      }
      const { epoch, sequence } = message
      watermarks.delete(epoch)
      watermarks.set(epoch, Math.max(sequence, watermarks.get(epoch) ?? 0))
      const oldest = watermarks.keys().next().value
      if (watermarks.size > EPOCHS_MAX && oldest !== undefined) watermarks.delete(oldest)
      advancing = advancing.then(advance).catch((error) => {
        log.warn(
          { err: error },
          'how far everything is in the store could not be told from the spool; it is tried again',
        )
      })
      await advancing
      onMoved()
      gatewayEpoch = message.gatewayEpoch
      if (gatewayEpoch === toldEpoch) return
      const isSeenTo = gatewayEpoch === settledEpoch || onGatewayLost(gatewayEpoch, settledEpoch === undefined)
      toldEpoch = isSeenTo ? gatewayEpoch : undefined
    },
    async resent(epoch) {
      if (epoch === settledEpoch) return
      settledEpoch = epoch
      try {
        await writeFileAtomic(path, Buffer.from(`${JSON.stringify({ gatewayEpoch: epoch })}\n`), fileSystem)
      } catch (error) {
        log.warn(
          { path, error: messageOf(error) },
          'the gateway could not be noted; after a restart batches are sent again',
        )
      }
    },
  }
}

/** @returns undefined when it is no batch */
export function epochOf(payload: Uint8Array): string | undefined {
  try {
    return decodeHeader(payload).epoch
  } catch {
    return undefined
  }
}
