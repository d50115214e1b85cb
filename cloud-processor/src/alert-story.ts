/** For tests: a partition with several agents, ticks, requests of operators, and what people are told. */
import { type Contract, contractSchema, type DeviceBlock, type OperatorRequest } from '@tributary/protocol'
import { adoptContracts } from './adopt-contracts.ts'
import type { StepContext } from './batch-scope.ts'
import { clearEffects, createEffects } from './effects.ts'
import type { Intake } from './intake.ts'
import type { Notification } from './notifiers/index.ts'
import type { PartitionState } from './state.ts'
import { decodeState, encodeState } from './state-codec.ts'
import { step } from './step.ts'
import { texts } from './step-harness.ts'
import { askedOf, batchOf, blockOf, intakeOf, readingsOf, stateFor } from './testing.ts'

export const T = 1_767_225_600_000
export const TICK_MS = 5_000

/** Of a kind with one field and a threshold at 10. */
export const watchedContract = (more: object = {}): Contract =>
  contractSchema.parse({
    kind: 'watched',
    version: 1,
    description: 'A level that somebody cares about.',
    interval: '1s',
    fields: { level: { type: 'float', label: 'Level' } },
    thresholds: [{ field: 'level', above: 10 }],
    ...more,
  })

type Request = OperatorRequest extends infer One
  ? One extends OperatorRequest
    ? Omit<One, 'request' | 'by' | 'comment'> & { by?: string; comment?: string }
    : never
  : never

/** Seconds are since `T`, event times and received times alike. */
export function alertStory(first: StepContext) {
  let context = first
  let state: PartitionState = stateFor(context)
  const effects = createEffects()
  const agents = new Map<string, { sequence: number; readings: number }>()
  const lines: string[] = []
  const answers: string[] = []
  const transitions: string[] = []
  /** `receiver key`, in the order in which they were put into the outbox. */
  const told: string[] = []

  let streamSequence = 0
  function take(intake: Intake): void {
    clearEffects(effects)
    streamSequence += 1
    step(state, { ...intake, streamSequence }, context, effects)
    lines.push(...texts(effects).lines)
    answers.push(...effects.answers.map(({ outcome, detail }) => `${outcome}${detail ? `: ${detail}` : ''}`))
    transitions.push(...effects.transitions.map((one) => `${one.state} ${one.device} ${one.rule}`))
    for (const [receiver, queue] of Object.entries(state.outbox.queues))
      for (const notification of queue) {
        told.push(`${receiver} ${notification.key}`)
        story.onTold(notification)
      }
    // Receivers take at once what there is.
    state.outbox.queues = {}
  }

  const story = {
    onTold: (_: Notification): void => undefined,
    get state() {
      return state
    },
    lines,
    answers,
    transitions,
    told,
    /** @param levels second → level of the device's field */
    give(
      agent: string,
      atSecond: number,
      levels: Readonly<Record<string, readonly (readonly [second: number, level: number])[]>> = {},
      given: { lane?: 'live' | 'backlog'; site?: string; kind?: string; throughSecond?: number } = {},
    ): void {
      const { lane = 'live', site = 'plant', kind = 'watched', throughSecond = atSecond } = given
      const blocks: DeviceBlock[] = Object.entries(levels).map(([device, samples]) =>
        blockOf(
          device,
          kind,
          samples.map(([second, level]) => ({ timeMs: T + second * 1_000, values: { level } })),
        ),
      )
      const known = agents.get(`${site}/${agent}`) ?? { sequence: 0, readings: 0 }
      known.sequence += 1
      const plan = { agent, sequence: known.sequence, readingsBefore: known.readings, lane, blocks }
      known.readings += readingsOf(blocks)
      agents.set(`${site}/${agent}`, known)
      take(
        intakeOf(batchOf({ ...plan, completeThroughMs: T + throughSecond * 1_000 }), {
          site,
          receivedAtMs: T + atSecond * 1_000,
        }),
      )
    },
    tick: (atSecond: number) => take(askedOf('tick', { receivedAtMs: T + atSecond * 1_000 })),
    ask(atSecond: number, asked: Request): string {
      const request = { request: 'test', by: 'ann', comment: '', ...asked } as OperatorRequest
      take(askedOf(request, { receivedAtMs: T + atSecond * 1_000 }))
      return answers.at(-1) as string
    },
    /** Goes on by other contracts and rules. */
    adopt(next: StepContext): void {
      context = next
      state = adoptContracts(state, next, effects)
    },
    restart(): void {
      state = decodeState(encodeState(state), context.contracts)
    },
  }
  return story
}
