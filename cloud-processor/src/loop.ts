/**
 * Guarantee: a message is acknowledged after its readings are in the store, its refusals among the dead letters, and the state
 * that knows it in a checkpoint; whenever the process dies, what comes again is repeated without a trace. The order stands in
 * `settleTaken`.
 */
import type { JetStreamClient, JsMsg } from '@nats-io/jetstream'
import { type Clock, type Logger, messageOf } from '@tributary/runtime'
import { type AgentAccount, accountOf } from './account.ts'
import { adoptContracts } from './adopt-contracts.ts'
import type { Checkpoint, CheckpointStore } from './checkpoint.ts'
import { type CheckpointWriter, createCheckpointWriter } from './checkpoint-writer.ts'
import type { PartitionConsumer } from './consumer.ts'
import type { ContextSource } from './contexts.ts'
import type { ContractMemory } from './contract-memory.ts'
import { isSameVersion } from './device-journal.ts'
import { createEffectWriter } from './effect-writer.ts'
import { clearEffects, createEffects } from './effects.ts'
import { type AskWatermark, createGapRequests } from './gap-requests.ts'
import { momentOf } from './gaps.ts'
import type { InfluxSink } from './influx-sink.ts'
import { takeIn, takenAsFailed } from './intake.ts'
import { type Outbox, type Settled, settle } from './notifiers/index.ts'
import { mayTakeBack } from './owner.ts'
import { createPerseverance } from './persevere.ts'
import { doubtAll, takeOver } from './prior-life.ts'
import type { RepairList } from './repair-list.ts'
import { createReplay } from './replay.ts'
import { agentKeyOf, createState, type PartitionState } from './state.ts'
import { decodeState } from './state-codec.ts'
import { step } from './step.ts'
import { createWatermarkPublisher, type Publish } from './stored-watermark.ts'

/** Taken in one go: some 20,000 readings as they usually come, and never more than two of the largest batches. */
const TAKE_BYTES_MAX = 64 * 1024
/** Processed and not yet acknowledged: beyond this the checkpoint does not wait for its time. */
const UNACKNOWLEDGED_MAX = 512
const UNACKNOWLEDGED_BYTES_MAX = 16 * 1024 * 1024
/** All watermarks are said again this often. */
const WATERMARKS_EVERY_MS = 10_000
/** While notifications wait, the loop looks this often for those that were delivered. */
const OUTBOX_LOOK_MS = 500
/** Stopping, it gives receivers so long to take what waits; the rest stays in the checkpoint. */
const OUTBOX_DRAIN_MS_MAX = 2_000
/** After a step that failed: a mistake that strikes again and again must not keep servers busy. */
const STEP_AGAIN_MS = 500
/** So often gaps are looked at. */
const GAPS_LOOK_MS = 500
/** So many messages may have been processed by a former life, and not be known to its last checkpoint: what may be unacknowledged, and one take. */
const REPLAYED_MAX = 2 * UNACKNOWLEDGED_MAX + 100

export interface LoopDependencies {
  readonly consumer: PartitionConsumer
  readonly sink: InfluxSink
  readonly checkpoints: CheckpointStore
  readonly client: JetStreamClient
  /** Makes the stream of dead letters again when somebody deleted it. */
  readonly ensureStreams: () => Promise<void>
  /** Core NATS. */
  readonly publish: Publish
  readonly askWatermark: AskWatermark
  /** A gap was asked for. */
  readonly onResendRequest?: () => void
  readonly outbox: Outbox
  readonly repairs: RepairList
  readonly contexts: ContextSource
  readonly clock: Clock
  readonly log: Logger
  /** The name of this processor: whose dead letters those of derived lines are. */
  readonly processor: string
  readonly onStored?: (readings: number, latenciesMs: readonly number[]) => void
}

export interface LoopOptions {
  readonly partition: number
  readonly owner: string
  readonly lingerMs: number
  readonly checkpointIntervalMs: number
  /** A gap is asked for when it has been open for so long. */
  readonly resendAfterMs: number
}

export interface PartitionLoop {
  readonly partition: number
  /** Works until `stopping` aborts, then drains; `giveUp` ends the draining, too. Rejects when the partition was taken over. */
  run(stopping: AbortSignal, giveUp: AbortSignal): Promise<void>
  /** As of the last moment when everything processed was stored. */
  account(): AgentAccount[]
  readonly state: PartitionState
  readonly ready: boolean
  readonly checkpoint: Pick<CheckpointWriter, 'lastMs' | 'lastBytes'>
}

export function createPartitionLoop(options: LoopOptions, dependencies: LoopDependencies): PartitionLoop {
  const { consumer, checkpoints, publish, outbox, repairs, contexts, clock, log } = dependencies
  const { partition } = options
  const effects = createEffects()
  const persevere = createPerseverance({ partition, clock, log })
  const checkpoint = createCheckpointWriter(options.checkpointIntervalMs, { checkpoints, persevere, clock })
  const writer = createEffectWriter(effects, { ...dependencies, partition, persevere })
  let context = contexts.current
  const replay = createReplay()
  let state = createState(context.engine.start())
  const createWatermarks = () => createWatermarkPublisher(publish, { clock, missingAfterMs: context.missingAfterMs })
  let watermarks = createWatermarks()
  let account: AgentAccount[] = []
  let busy = false
  let ready = false
  let watermarksAtMs = 0
  let gapsAtMs = Number.NEGATIVE_INFINITY
  const requests = createGapRequests(
    { resendAfterMs: options.resendAfterMs },
    { publish, ask: dependencies.askWatermark, onRequest: dependencies.onResendRequest, clock },
  )
  const accountNow = () => accountOf(state, clock.wallMs(), context.missingAfterMs, requests.requestsOf)
  let unacknowledged: JsMsg[] = []
  let unacknowledgedBytes = 0
  let unsaved = false
  /** Told, and not yet taken out of a saved state. */
  let settledUnsaved: Settled[] = []
  /** Messages whose step failed, and why: they are refused when they come again. */
  const poison = new Map<number, string>()
  let lifeNumber = 0
  const restore = ({ bytes }: Checkpoint) => {
    context = contexts.current
    const byItsContracts = (memory: ContractMemory | undefined) => {
      context = contexts.asOf(memory)
      return context.contracts
    }
    return bytes ? decodeState(bytes, byItsContracts) : createState(context.engine.start())
  }

  async function load(signal: AbortSignal): Promise<void> {
    const loaded = await persevere('loading the checkpoint', signal, () => checkpoints.load())
    state = restore(loaded)
    // A version that cannot read the state does not come as far as this: it harms nobody.
    const claimed = await persevere('claiming the partition', signal, () => checkpoints.claim(loaded))
    if (claimed.bytes !== loaded.bytes) state = restore(claimed)
    checkpoint.begin(claimed.revision)
    replay.begin(state.contracts.version === '' || state.contracts.settled ? 0 : REPLAYED_MAX)
    watermarks = createWatermarks()
    unacknowledged = []
    unacknowledgedBytes = 0
    for (const settled of settledUnsaved) settle(state.outbox, settled)
    unsaved = settledUnsaved.length > 0
    outbox.offer(state.outbox)
    repairs.forget()
    if (claimed.isOlder) doubtAll(state, clock.wallMs())
    account = accountNow()
    watermarks.publish(state, true)
  }

  function waitMs(): number {
    const nowMs = clock.monotonicMs()
    if (unsaved) return Math.max(0, checkpoint.dueAtMs - nowMs)
    const outboxWaits = Object.values(state.outbox.queues).some((queue) => queue.length > 0)
    const untilWatermarks =
      state.agents.size === 0 ? Number.POSITIVE_INFINITY : watermarksAtMs + WATERMARKS_EVERY_MS - nowMs
    const soon = outboxWaits || requests.busy || repairs.busy ? OUTBOX_LOOK_MS : Number.POSITIVE_INFINITY
    return Math.max(0, Math.min(untilWatermarks, soon))
  }

  /** A sequence of the stream means another message than before: nothing that is known by one holds any more. */
  function noteLife(): void {
    const { life } = consumer
    if (life === undefined || life.number === lifeNumber) return
    lifeNumber = life.number
    poison.clear()
    const isAnother = state.streamCreated !== '' && life.created !== state.streamCreated
    state.streamSequence = isAnother ? 0 : Math.min(state.streamSequence, life.lastSequence)
    state.streamCreated = life.created
  }

  /** What receivers were told leaves the state. */
  function takeSettled(): void {
    for (const settled of outbox.takeSettled()) {
      settle(state.outbox, settled)
      settledUnsaved.push(settled)
      unsaved = true
    }
  }

  function lookAtGaps(): void {
    for (const { site, kept } of requests.takeAnswers()) {
      const agent = state.agents.get(agentKeyOf({ site, agent: kept.agent }))
      if (agent === undefined || !takeOver(state, site, kept, momentOf(agent, clock.wallMs()))) continue
      unsaved = true
      log.warn(
        { partition, site, agent: kept.agent, epoch: kept.epoch, throughSequence: kept.sequence },
        'what was stored by a state that is gone is taken over from its watermark; windows of that time stay as they are',
      )
    }
    if (clock.monotonicMs() - gapsAtMs < GAPS_LOOK_MS) return
    gapsAtMs = clock.monotonicMs()
    requests.look(state, clock.wallMs())
  }

  /** The newest registry is that of the messages to come; of those before, none is processed again. */
  async function adoptRegistry(signal: AbortSignal): Promise<void> {
    if (!replay.isOver || isSameVersion(state.registryVersion, context.registry.version)) return
    state.registryVersion = context.registry.version
    unsaved = true
    await settleTaken([], true, signal)
    clearEffects(effects)
  }

  /** Puts one message through `step`. */
  function process(message: JsMsg): void {
    const delivery = {
      subject: message.subject,
      bytes: message.data,
      streamSequence: message.seq,
      receivedAtMs: Math.floor(message.info.timestampNanos / 1e6),
    }
    const taken = takeIn(delivery)
    if (message.info.pending === 0) replay.end()
    const why = poison.get(message.seq)
    const intake = why === undefined ? taken : takenAsFailed(taken, message.data, why)
    try {
      step(state, intake, context, effects)
    } catch (error) {
      poison.set(message.seq, messageOf(error))
      log.error(
        { err: error, partition, streamSequence: message.seq, subject: message.subject },
        'a batch could not be processed; it becomes a dead letter, and the partition starts from its checkpoint',
      )
      throw new StepFailure()
    }
  }

  /**
   * What makes data safe, in this order. A crash between any two lines repeats what was not acknowledged, on the state of the
   * last checkpoint: the lines overwrite themselves, dead letters and notifications keep their keys.
   */
  async function settleTaken(messages: readonly JsMsg[], last: boolean, signal: AbortSignal): Promise<void> {
    await writer.storeLines(state, signal) // 1. readings and windows are stored
    await writer.publishLetters(signal) // 2. what was refused is among the dead letters
    writer.announce()
    for (const message of messages) {
      unacknowledged.push(message)
      unacknowledgedBytes += message.data.length
    }
    if (messages.length > 0) unsaved = true
    const full = unacknowledged.length >= UNACKNOWLEDGED_MAX || unacknowledgedBytes >= UNACKNOWLEDGED_BYTES_MAX
    if (unsaved && (full || last || clock.monotonicMs() >= checkpoint.dueAtMs)) {
      await checkpoint.save(state, signal) // 3. the state agrees with the store
      for (const message of unacknowledged) acknowledge(message) // 4. the stream may forget, the gateways trim, people be told
      unacknowledged = []
      unacknowledgedBytes = 0
      unsaved = false
      settledUnsaved = []
      watermarks.publish(state, false)
      outbox.offer(state.outbox)
      account = accountNow()
    }
  }

  function acknowledge(message: JsMsg): void {
    consumer.acknowledge(message)
    poison.delete(message.seq)
  }

  async function agreeOnContracts(signal: AbortSignal): Promise<void> {
    replay.endAt(consumer.life?.lastSequence ?? Number.POSITIVE_INFINITY)
    if (isChangeDue()) await changeContracts(signal)
  }

  /** Before anything is judged, a checkpoint says by which contracts: a crash must not forget it. */
  async function sayContracts(signal: AbortSignal): Promise<void> {
    const { contracts } = state
    if (!contracts.settled && contracts.version === context.contractsVersion) return
    contracts.version = context.contractsVersion
    contracts.source = context.contractsSource
    await saveUnsettled(signal)
  }

  const isChangeDue = () => replay.isOver && context.contractsVersion !== contexts.current.contractsVersion

  /** Between two messages: everything before is in a checkpoint made with the old contracts, everything after follows one made with the new. */
  async function changeContracts(signal: AbortSignal): Promise<void> {
    clearEffects(effects)
    const before = context.contractsVersion
    context = contexts.current
    state = adoptContracts(state, context, effects)
    repairs.forget()
    await writer.storeLines(state, signal)
    await writer.publishLetters(signal)
    await saveUnsettled(signal)
    clearEffects(effects)
    outbox.offer(state.outbox)
    account = accountNow()
    log.info({ partition, version: context.contractsVersion, before }, 'from here on by other contracts')
  }

  async function saveUnsettled(signal: AbortSignal): Promise<void> {
    state.contracts.settled = false
    await checkpoint.save(state, signal)
    unsaved = false
    settledUnsaved = []
  }

  async function turn(stopping: AbortSignal, giveUp: AbortSignal): Promise<void> {
    const messages = await consumer.take(
      { bytesMax: TAKE_BYTES_MAX, waitMs: waitMs(), lingerMs: options.lingerMs },
      stopping,
    )
    busy = true
    clearEffects(effects)
    takeSettled()
    noteLife()
    // Before anything is in the effects: it saves the state.
    if (messages.length > 0) await sayContracts(giveUp)
    if (repairs.settle(state, effects, context.contracts)) unsaved = true
    if (messages.length > 0) await adoptRegistry(giveUp)
    const replayed = replay.count(messages)
    let rest = messages
    if (isChangeDue()) {
      const before = messages.slice(0, replayed)
      for (const message of before) process(message)
      await settleTaken(before, true, giveUp)
      await changeContracts(giveUp)
      rest = messages.slice(replayed)
    }
    for (const message of rest) process(message)
    lookAtGaps()
    await settleTaken(rest, stopping.aborted, giveUp)
    repairs.look(state, context.contracts)
    if (clock.monotonicMs() - watermarksAtMs >= WATERMARKS_EVERY_MS && !unsaved) {
      watermarksAtMs = clock.monotonicMs()
      watermarks.publish(state, true)
    }
    busy = false
  }

  return {
    partition,
    get state() {
      return state
    },
    get ready() {
      return ready
    },
    checkpoint,
    account() {
      if (!busy) account = accountNow()
      return account
    },
    async run(stopping, giveUp) {
      await outbox.start(giveUp)
      const startMs = clock.monotonicMs()
      const takeBack = (error: unknown) => {
        if (!mayTakeBack(error, options.owner, clock.monotonicMs() - startMs)) throw error
        log.warn({ partition, reason: error.message }, 'that one began before this one: the partition is taken back')
        checkpoints.release()
      }
      try {
        while (!stopping.aborted) await runFromCheckpoint(stopping, giveUp).catch(takeBack)
      } finally {
        // Whoever has the partition now tells what is left.
        await outbox.stop(AbortSignal.abort())
      }
    },
  }

  /** Until it is to stop, or a step fails. */
  async function runFromCheckpoint(stopping: AbortSignal, giveUp: AbortSignal): Promise<void> {
    busy = true
    await load(stopping)
    await consumer.start(stopping)
    await agreeOnContracts(giveUp)
    busy = false
    ready = true
    try {
      while (!stopping.aborted) await turn(stopping, giveUp)
      clearEffects(effects)
      // A successor's checkpoint must not be overtaken when it is another partition's loss of it that stops this one.
      const isOrderly = (stopping.reason as Error).name === 'AbortError'
      if (isOrderly && replay.isOver && state.contracts.version !== '' && !state.contracts.settled) {
        state.contracts.settled = true
        unsaved = true
      }
      await settleTaken([], true, giveUp)
      await outbox.stop(AbortSignal.any([giveUp, AbortSignal.timeout(OUTBOX_DRAIN_MS_MAX)]))
      takeSettled()
      await settleTaken([], true, giveUp)
    } catch (error) {
      if (!(error instanceof StepFailure)) throw error
      await clock.sleep(STEP_AGAIN_MS, stopping).catch(() => undefined)
    } finally {
      await consumer.stop()
    }
  }
}

/** A step threw and left the state half changed: it must be loaded again. */
class StepFailure extends Error {
  override readonly name = 'StepFailure'
}
