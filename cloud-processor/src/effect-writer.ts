/**
 * Where the effects of a step go: lines to the store, refusals to the stream of dead letters, the rest to whoever listens.
 *
 * Guarantee: `write` returns when each line is in the store, or a dead letter of these effects, and the stream has confirmed each
 * dead letter. Raw lines and windows are under way at the same time: they are in two retention policies, so none is the other's point.
 */
import type { JetStreamClient } from '@nats-io/jetstream'
import {
  alertSubject,
  anomalySubject,
  type DeadLetter,
  deadLetterSubject,
  isName,
  operatorAnswerSubject,
  settledSubject,
} from '@tributary/protocol'
import type { Clock, Logger } from '@tributary/runtime'
import { type LetterOrigin, storeLetter } from './dead-letter.ts'
import type { Effects, Settlement } from './effects.ts'
import { type InfluxSink, PartialWriteError } from './influx-sink.ts'
import type { LineBuffer } from './line-protocol.ts'
import type { Persevere } from './persevere.ts'
import { addLetter } from './refuse.ts'
import type { SchemaDrift } from './shape.ts'
import type { PartitionState } from './state.ts'
import type { Publish } from './stored-watermark.ts'

const LETTERS_IN_FLIGHT = 64
/** Schema drifts told in the log, in a minute. */
const DRIFTS_LOGGED_MAX = 20
const DRIFTS_LOGGED_MS = 60_000

export interface EffectWriterDependencies {
  readonly partition: number
  readonly sink: InfluxSink
  readonly client: JetStreamClient
  /** Makes the stream of dead letters again when somebody deleted it. */
  readonly ensureStreams: () => Promise<void>
  /** Core NATS. */
  readonly publish: Publish
  readonly persevere: Persevere
  readonly clock: Clock
  readonly log: Logger
  /** The name of this processor: whose dead letters those of derived lines are. */
  readonly processor: string
  readonly onStored?: (readings: number, ages: StoredAges) => void
}

/** How long ago, by our wall clock, live samples were measured and live batches were in the stream. */
export interface StoredAges {
  readonly measuredMs: readonly number[]
  readonly inStreamMs: readonly number[]
}

export interface EffectWriter {
  /** @param state learns which readings the store refused; it may know of messages that came after those of the effects */
  write(effects: Effects, state: PartitionState, signal: AbortSignal): Promise<void>
}

export function createEffectWriter({
  partition,
  sink,
  client,
  ensureStreams,
  publish,
  persevere,
  clock,
  log,
  processor,
  onStored,
}: EffectWriterDependencies): EffectWriter {
  async function writeLines(
    effects: Effects,
    target: 'raw' | 'rollup',
    state: PartitionState,
    signal: AbortSignal,
  ): Promise<void> {
    const lines = target === 'raw' ? effects.lines : effects.rollups
    if (lines.count === 0) return
    try {
      await sink.write(lines, target, signal)
    } catch (error) {
      if (!(error instanceof PartialWriteError)) throw error
      refuseLines(effects, lines, state, error)
    }
  }

  /** Readings that InfluxDB refused move from stored to dead-lettered. */
  function refuseLines(
    effects: Effects,
    lines: LineBuffer,
    state: PartitionState,
    { rejected }: PartialWriteError,
  ): void {
    const firstLineOf = new Map<number, number>()
    for (let i = 0; i < lines.count; i++) {
      const origin = lines.origins[i] as number
      if (!firstLineOf.has(origin)) firstLineOf.set(origin, i)
    }
    let derivedCount = 0
    let derivedExample = {}
    for (const [line, { reason, detail }] of rejected) {
      const originIndex = lines.origins[line] as number
      const bytes = Buffer.from(lines.line(line))
      const origin = effects.origins[originIndex]
      if (origin === undefined) {
        // The readings that it was derived from are as old: they are the dead letter.
        if (reason === 'out_of_retention' && lines === effects.lines) continue
        derivedCount += 1
        if (derivedCount === 1) derivedExample = { reason, detail, line: bytes.toString('utf8').trimEnd() }
        const derived: LetterOrigin = {
          site: 'unknown',
          agent: processor,
          epoch: '0000000000000000',
          sequence: 0,
          receivedAtMs: 0,
        }
        effects.deadLetters.push(storeLetter(derived, derivedKey(bytes), reason, detail, bytes, 0))
        continue
      }
      const readings = lines.readings[line] as number
      const agent = state.agents.get(`${origin.site}/${origin.agent}`)
      const epoch = agent?.epochs.get(origin.epoch)
      const index = String(line - (firstLineOf.get(originIndex) as number))
      state.counters.readings -= readings
      if (epoch) epoch.stored -= readings
      if (origin.again) refuseAgain(origin.again.settlement, reason, detail, readings)
      if (agent) addLetter(state, agent, epoch, storeLetter(origin, index, reason, detail, bytes, readings), effects)
    }
    if (derivedCount > 0)
      log.error(
        { partition, lines: derivedCount, ...derivedExample },
        'InfluxDB refused lines that were derived, such as this one',
      )
    log.warn(
      { partition, lines: rejected.size, example: [...rejected.values()][0]?.detail },
      'InfluxDB refused lines; they are dead letters now',
    )
  }

  /** JetStream confirms each; what it does not confirm is tried again, and recognised by its id. */
  async function publishAll(messages: readonly Outgoing[], signal: AbortSignal): Promise<void> {
    for (let from = 0; from < messages.length; from += LETTERS_IN_FLIGHT)
      await persevere('publishing dead letters', signal, async () => {
        await Promise.all(
          messages
            .slice(from, from + LETTERS_IN_FLIGHT)
            .map(({ subject, msgID, value }) =>
              client.publish(subject, Buffer.from(JSON.stringify(value), 'utf8'), { msgID }),
            ),
        ).catch(async (error: unknown) => {
          await ensureStreams()
          throw error
        })
      })
  }

  /** For whoever listens at the moment. */
  function announce(effects: Effects): void {
    const say = (subject: string, value: unknown) => publish(subject, Buffer.from(JSON.stringify(value), 'utf8'))
    for (const anomaly of effects.anomalies)
      if (isName(anomaly.device)) say(anomalySubject(anomaly.site, anomaly.device), anomaly)
    for (const drift of effects.drifts) logDrift(drift)
    for (const transition of effects.transitions) say(alertSubject(transition.site), transition)
    for (const answer of effects.answers) say(operatorAnswerSubject(answer.request), { ...answer, partition })
    if (onStored) {
      const nowMs = clock.wallMs()
      let readings = 0
      for (let i = 0; i < effects.lines.count; i++) readings += effects.lines.readings[i] as number
      if (readings > 0)
        onStored(readings, {
          measuredMs: effects.sampleTimesMs.map((timeMs) => nowMs - timeMs),
          inStreamMs: effects.receivedTimesMs.map((timeMs) => nowMs - timeMs),
        })
    }
  }

  /** New firmware on a whole fleet is thousands of drifts: they are all in the store, and some in the log. */
  let driftsSinceMs = Number.NEGATIVE_INFINITY
  let driftsLogged = 0
  function logDrift({ message, ...drift }: SchemaDrift): void {
    const nowMs = clock.monotonicMs()
    if (nowMs - driftsSinceMs >= DRIFTS_LOGGED_MS) {
      driftsSinceMs = nowMs
      driftsLogged = 0
    }
    driftsLogged += 1
    if (driftsLogged < DRIFTS_LOGGED_MAX)
      log.warn({ partition, ...drift, hint: 'correct the device, or its contract' }, `schema drift: ${message}`)
    else if (driftsLogged === DRIFTS_LOGGED_MAX)
      log.warn(
        { partition, hint: 'SELECT * FROM schema_drift' },
        `schema drift: ${message}; there is more, which is not logged for a minute`,
      )
  }

  return {
    async write(effects, state, signal) {
      const outcomes = await Promise.allSettled([
        writeLines(effects, 'raw', state, signal),
        writeLines(effects, 'rollup', state, signal),
      ])
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
      await publishAll(effects.deadLetters.map(ofLetter), signal)
      await publishAll(effects.settlements.map(ofSettlement), signal)
      announce(effects)
    },
  }
}

interface Outgoing {
  readonly subject: string
  readonly msgID: string
  readonly value: object
}

const ofLetter = (letter: DeadLetter): Outgoing => ({
  subject: deadLetterSubject(letter.stage, letter.agent),
  msgID: letter.requeued ? `${letter.id}#${letter.requeued}` : letter.id,
  value: letter,
})

const ofSettlement = ({ agent, ...settlement }: Settlement): Outgoing => ({
  subject: settledSubject(agent),
  msgID: `${settlement.id}#${settlement.requeued}/${settlement.request}`,
  value: settlement,
})

function refuseAgain(settlement: Settlement, reason: string, detail: string, readings: number): void {
  settlement.stored -= readings
  settlement.refused += readings
  if (settlement.stored === 0) settlement.outcome = 'refused'
  settlement.reason = reason
  settlement.detail = detail
}

/** The same for the same line, so that it is one dead letter however often it is refused. */
const derivedKey = (line: Buffer): string => {
  const text = line.toString('utf8')
  return `${text.slice(0, text.indexOf(' ')).replaceAll('/', '_')}${text.slice(text.lastIndexOf(' ')).trim()}`
}
