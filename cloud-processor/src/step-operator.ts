/**
 * Ticks, and what people ask: messages of the partition's stream like batches, so that a replay finds them in the same place. Ticks are
 * made by whoever works on the partition (`ticker.ts`).
 */
import type { OperatorRequest } from '@tributary/protocol'
import { type Answer, acknowledge, endSilence, silence } from './alerts/desk-requests.ts'
import type { Recorded } from './alerts/index.ts'
import type { StepContext } from './batch-scope.ts'
import type { Effects } from './effects.ts'
import { takeFeedback } from './feedback.ts'
import { judgeLinks } from './link-watch.ts'
import type { PartitionState } from './state.ts'
import { type AlertScope, concludeAlerts, officeOf, record } from './tell.ts'

export const alertScope = (
  state: PartitionState,
  context: StepContext,
  effects: Effects,
  receivedAtMs: number,
): AlertScope => ({
  state,
  context,
  effects,
  receivedAtMs,
  transitions: [],
  findDevice: (device) => context.registry.find(device, state.registryVersion),
})

export function stepTick(s: AlertScope): void {
  // What people wait for goes on first: links are judged by the time of this tick.
  const reminders = s.context.desk.tick(s.state.desk, officeOf(s))
  judgeLinks(s)
  record(s, reminders)
  concludeAlerts(s)
}

export function stepOperator(s: AlertScope, request: OperatorRequest): void {
  const [answer, recorded] = answerTo(s, request)
  record(s, recorded)
  s.effects.answers.push({ request: request.request, ...answer })
}

function answerTo(s: AlertScope, request: OperatorRequest): [Answer, Recorded[]] {
  const { state, context, receivedAtMs } = s
  const { desk } = state
  switch (request.action) {
    case 'acknowledge':
      return acknowledge(desk.firing[request.episode], request, receivedAtMs)
    case 'silence':
      return [silence(desk, request, receivedAtMs), []]
    case 'end_silence':
      return endSilence(desk, request, context.desk, officeOf(s))
    case 'confirm':
    case 'dismiss':
      return [takeFeedback(s, request), []]
  }
}
