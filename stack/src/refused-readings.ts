/** Which readings dead letters hold: by device, field and sequence or time where a letter names them, else by number alone. */
import { connect } from '@nats-io/transport-node'
import { readDeadLetters } from '@tributary/cloud-processor'
import type { DeadLetter } from '@tributary/protocol'

export interface RefusedReadings {
  /** Readings in letters that do not name each of them. */
  readonly unlocated: number
  /** A letter that was added before, by its id, changes nothing. */
  add(letter: DeadLetter): void
  has(device: string, field: string, sequence: number, timeMs: number): boolean
}

export function createRefusedReadings(): RefusedReadings {
  const keys = new Set<string>()
  const seen = new Set<string>()
  let unlocated = 0
  return {
    get unlocated() {
      return unlocated
    },
    add(letter) {
      if (seen.has(letter.id)) return
      seen.add(letter.id)
      const original = Buffer.from(letter.original, 'base64')
      if (letter.stage !== 'contract' || letter.originalBytes > original.length) {
        unlocated += letter.readingCount
        return
      }
      const { times, sequences } = JSON.parse(original.toString('utf8')) as {
        times: number[]
        sequences?: (number | null)[]
      }
      for (const [i, timeMs] of times.entries()) {
        const sequence = sequences?.[i]
        keys.add(`${letter.device} ${letter.field} ${typeof sequence === 'number' ? `s${sequence}` : `t${timeMs}`}`)
      }
    },
    has: (device, field, sequence, timeMs) =>
      keys.has(`${device} ${field} s${sequence}`) || keys.has(`${device} ${field} t${timeMs}`),
  }
}

/** What the stream of dead letters holds now: letters that were requeued are not in it, dropped ones are. */
export async function readRefusedReadings(natsUrl: string): Promise<RefusedReadings> {
  const refused = createRefusedReadings()
  const connection = await connect({ servers: natsUrl, timeout: 5_000 })
  try {
    for await (const letter of readDeadLetters(connection, { dropped: true })) refused.add(letter)
  } finally {
    await connection.close()
  }
  return refused
}
