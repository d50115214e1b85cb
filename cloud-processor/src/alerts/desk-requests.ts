/** What operators ask of the desk, and what they are answered. Pure; asked again, it changes nothing. */
import type { OperatorAnswer, OperatorRequest } from '@tributary/protocol'
import type { Desk, Office, Recorded } from './desk.ts'
import { type DeskState, type FiringAlert, SILENCES_MAX } from './desk-state.ts'

type Asked<Action extends OperatorRequest['action']> = Extract<OperatorRequest, { action: Action }>
export type Answer = Pick<OperatorAnswer, 'outcome' | 'detail'>

/** @param alert the episode, when it fires here */
export function acknowledge(
  alert: FiringAlert | undefined,
  { episode, by, comment }: Asked<'acknowledge'>,
  receivedAtMs: number,
): [Answer, Recorded[]] {
  if (alert === undefined) return [{ outcome: 'unknown', detail: `no firing alert is ${episode}` }, []]
  const known = alert.acknowledged
  if (known)
    return [
      { outcome: 'unchanged', detail: `${known.by} acknowledged it at ${new Date(known.atMs).toISOString()}` },
      [],
    ]
  alert.acknowledged = { by, comment, atMs: receivedAtMs }
  const transition = { ...alert.transition, state: 'acknowledged' as const }
  return [
    { outcome: 'done', detail: '' },
    [{ transition, held: null, isAfter: true, firedAtMs: alert.transition.atMs, by, comment }],
  ]
}

export function silence(
  { silences }: DeskState,
  { id, match, forMs, by, comment }: Asked<'silence'>,
  receivedAtMs: number,
): Answer {
  if (id in silences) return { outcome: 'unchanged', detail: `there is a silence ${id} already` }
  if (Object.keys(silences).length >= SILENCES_MAX)
    return { outcome: 'refused', detail: `there are ${SILENCES_MAX} silences already; end some` }
  silences[id] = { id, match, fromMs: receivedAtMs, untilMs: receivedAtMs + forMs, by, comment }
  return { outcome: 'done', detail: '' }
}

/** What it kept back and still fires is told at once. */
export function endSilence(
  state: DeskState,
  { id }: Asked<'end_silence'>,
  desk: Desk,
  office: Office,
): [Answer, Recorded[]] {
  if (!(id in state.silences)) return [{ outcome: 'unknown', detail: `no silence is ${id} (any more)` }, []]
  delete state.silences[id]
  return [{ outcome: 'done', detail: '' }, desk.release(state, office)]
}
