/**
 * Guarantee: a message is acknowledged after its readings are in the store, its refusals among the dead letters, and the state
 * that knows it in a checkpoint; whenever the process dies, what comes again is repeated without a trace. The order stands in
 * `settleTaken`. Stepping goes on while what was stepped before is being written (`write-queue.ts`), but never into a checkpoint.
 */
import type { JsMsg } from '@nats-io/jetstream'
import { type AgentAccount, accountOf } from './account.ts'
import { adoptContracts } from './adopt-contracts.ts'
import type { Checkpoint, CheckpointStore } from './checkpoint.ts'
import { type CheckpointWriter, createCheckpointWriter } from './checkpoint-writer.ts'
import type { PartitionConsumer } from './consumer.ts'
import type { ContextSource } from './contexts.ts'
import type { ContractMemory } from './contract-memory.ts'
import { isSameVersion } from './device-journal.ts'
import { createEffectWriter, type EffectWriterDependencies } from './effect-writer.ts'
import { type AskWatermark, createGapRequests } from './gap-requests.ts'
import { momentOf } from './gaps.ts'
import { enqueuedOf, isUrgentSince, type Outbox, type Settled, settle } from './notifiers/index.ts'
import { mayTakeBack } from './owner.ts'
import { createPerseverance } from './persevere.ts'
import { doubtAll, takeOver } from './prior-life.ts'
import type { RepairList } from './repair-list.ts'
import { createReplay } from './replay.ts'
import { agentKeyOf, createState, type PartitionState } from './state.ts'
import { decodeState } from './state-codec.ts'
import { createMessageStepper, StepFailure } from './step-message.ts'
import { createWatermarkPublisher } from './stored-watermark.ts'
import { createWriteQueue, lingerMsFor } from './write-queue.ts'

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

export interface LoopDependencies extends Omit<EffectWriterDependencies, 'partition' | 'persevere'> {
  readonly consumer: PartitionConsumer
  readonly checkpoints: CheckpointStore
  readonly askWatermark: AskWatermark
  /** A gap was asked for. */
  readonly onResendRequest?: () => void
  readonly outbox: Outbox
  readonly repairs: RepairList
  readonly contexts: ContextSource
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
  /** How often nothing was left in the stream. */
  readonly caughtUp: number
  readonly checkpoint: Pick<CheckpointWriter, 'lastMs' | 'lastBytes'>
}

export function createPartitionLoop(options: LoopOptions, dependencies: LoopDependencies): PartitionLoop {
  const { consumer, checkpoints, sink, publish, outbox, repairs, contexts, clock, log } = dependencies
  const { partition } = options
  const persevere = createPerseverance({ partition, clock, log })
  const checkpoint = createCheckpointWriter(options.checkpointIntervalMs, { checkpoints, persevere, clock })
  const writes = createWriteQueue(createEffectWriter({ ...dependencies, partition, persevere }))
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
  let unsaved = false
  let enqueuedSaved: Readonly<Record<string, number>> = {} // notifications that the last checkpoint knows of
  /** Told, and not yet taken out of a saved state. */
  let settledUnsaved: Settled[] = []
  const stepper = createMessageStepper(partition, log)
  let lifeNumber = 0
  let caughtUp = 0
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
    for (const settled of settledUnsaved) settle(state.outbox, settled)
    unsaved = settledUnsaved.length > 0
    enqueuedSaved = enqueuedOf(state.outbox)
    outbox.offer(state.outbox)
    repairs.forget()
    if (claimed.isOlder) doubtAll(state, clock.wallMs())
    account = accountNow()
    watermarks.publish(state, true)
  }

  /** People are told after the checkpoint: it does not keep them waiting for its turn, but when something is over. */
  const dueAtMs = () => (isUrgentSince(state.outbox, enqueuedSaved) ? checkpoint.hurriedAtMs : checkpoint.dueAtMs)

  function waitMs(): number {
    const nowMs = clock.monotonicMs()
    if (unsaved) return Math.max(0, dueAtMs() - nowMs)
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
    stepper.forget()
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
    writes.launch(state, signal)
    await settleTaken(signal)
  }

  function process(message: JsMsg): void {
    if (message.info.pending === 0) {
      replay.end()
      caughtUp += 1
    }
    stepper.step(message, state, context, writes.effects)
    unacknowledged.push(message)
    unsaved = true
  }

  /**
   * What makes data safe, in this order. A crash between any two lines repeats what was not acknowledged, on the state of the
   * last checkpoint: the lines overwrite themselves, dead letters and notifications keep their keys.
   */
  async function settleTaken(signal: AbortSignal): Promise<void> {
    await writes.settled() // 1. of all that the state knows readings and windows are stored, 2. what was refused is among the dead letters
    if (!unsaved) return
    await save(signal) // 3. the state agrees with the store
    for (const message of unacknowledged) acknowledge(message) // 4. the stream may forget, the gateways trim, people be told
    unacknowledged = []
    watermarks.publish(state, false)
    outbox.offer(state.outbox)
    account = accountNow()
  }

  function isCheckpointDue(): boolean {
    const bytes = unacknowledged.reduce((sum, { data }) => sum + data.length, 0)
    const full = unacknowledged.length >= UNACKNOWLEDGED_MAX || bytes >= UNACKNOWLEDGED_BYTES_MAX
    return unsaved && (full || clock.monotonicMs() >= dueAtMs())
  }

  function acknowledge(message: JsMsg): void {
    consumer.acknowledge(message)
    stepper.acknowledged(message.seq)
  }

  async function agreeOnContracts(signal: AbortSignal): Promise<void> {
    replay.endAt(consumer.life?.lastSequence ?? Number.POSITIVE_INFINITY)
    if (isChangeDue()) await changeContracts(signal)
  }

  /** Before anything is judged, a checkpoint says by which contracts: a crash must not forget it. */
  async function sayContracts(signal: AbortSignal): Promise<void> {
    const { contracts } = state
    if (!contracts.settled && contracts.version === context.contractsVersion) return
    await writes.settled()
    contracts.version = context.contractsVersion
    contracts.source = context.contractsSource
    await saveUnsettled(signal)
  }

  const isChangeDue = () => replay.isOver && context.contractsVersion !== contexts.current.contractsVersion

  /** Between two messages: everything before is in a checkpoint made with the old contracts, everything after follows one made with the new. */
  async function changeContracts(signal: AbortSignal): Promise<void> {
    const before = context.contractsVersion
    context = contexts.current
    state = adoptContracts(state, context, writes.effects)
    repairs.forget()
    writes.launch(state, signal)
    await writes.settled()
    await saveUnsettled(signal)
    outbox.offer(state.outbox)
    account = accountNow()
    log.info({ partition, version: context.contractsVersion, before }, 'from here on by other contracts')
  }

  async function saveUnsettled(signal: AbortSignal): Promise<void> {
    state.contracts.settled = false
    await save(signal)
  }

  async function save(signal: AbortSignal): Promise<void> {
    await checkpoint.save(state, signal)
    enqueuedSaved = enqueuedOf(state.outbox)
    unsaved = false
    settledUnsaved = []
  }

  async function turn(stopping: AbortSignal, giveUp: AbortSignal): Promise<void> {
    await writes.room()
    const messages = await consumer.take(
      { bytesMax: TAKE_BYTES_MAX, waitMs: waitMs(), lingerMs: lingerMsFor(sink.lastWriteMs, options.lingerMs) },
      stopping,
    )
    busy = true
    if (messages.length === 0) caughtUp += 1
    takeSettled()
    noteLife()
    if (writes.isIdle) repairs.look(state, context.contracts)
    // Before anything is in the effects: it saves the state.
    if (messages.length > 0) await sayContracts(giveUp)
    if (repairs.settle(state, writes.effects, context.contracts)) unsaved = true
    if (messages.length > 0) await adoptRegistry(giveUp)
    const replayed = replay.count(messages)
    let rest = messages
    if (isChangeDue()) {
      for (const message of messages.slice(0, replayed)) process(message)
      writes.launch(state, giveUp)
      await settleTaken(giveUp)
      await changeContracts(giveUp)
      rest = messages.slice(replayed)
    }
    for (const message of rest) process(message)
    lookAtGaps()
    writes.launch(state, giveUp)
    if (isCheckpointDue() || stopping.aborted) await settleTaken(giveUp)
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
    get caughtUp() {
      return caughtUp
    },
    checkpoint,
    account() {
      if (!busy && writes.isIdle) account = accountNow()
      return account
    },
    async run(stopping, whenToGiveUp) {
      const replaced = new AbortController()
      const giveUp = AbortSignal.any([whenToGiveUp, replaced.signal])
      await outbox.start(giveUp)
      const startMs = clock.monotonicMs()
      const takeBack = async (error: unknown) => {
        if (!mayTakeBack(error, options.owner, clock.monotonicMs() - startMs)) {
          replaced.abort(error) // it does not write on
          throw error
        }
        await endWrites()
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

  /** What is under way is older than what comes now: it must not be written after it. */
  async function endWrites(): Promise<void> {
    writes.discard()
    await writes.settled()
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
      // A successor's checkpoint must not be overtaken when it is another partition's loss of it that stops this one.
      const isOrderly = (stopping.reason as Error).name === 'AbortError'
      if (isOrderly && replay.isOver && state.contracts.version !== '' && !state.contracts.settled) {
        state.contracts.settled = true
        unsaved = true
      }
      await settleTaken(giveUp)
      await outbox.stop(AbortSignal.any([giveUp, AbortSignal.timeout(OUTBOX_DRAIN_MS_MAX)]))
      takeSettled()
      await settleTaken(giveUp)
    } catch (error) {
      if (!(error instanceof StepFailure)) throw error
      await endWrites()
      await clock.sleep(STEP_AGAIN_MS, stopping).catch(() => undefined)
    } finally {
      await consumer.stop()
    }
  }
}
