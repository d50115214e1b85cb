/** Whether people are spared an alert: because another one says it already, or because somebody asked for silence. */
import { AGENT_UNREACHABLE } from '../detectors/index.ts'
import type { DeskState, FiringAlert, Hold } from './desk-state.ts'
import type { AlertTransition } from './episode.ts'
import { compile, type Matched } from './match.ts'
import type { RulesFile } from './rules-file.ts'

export type FindHold = (state: DeskState, alert: AlertTransition) => Hold | null

export function createHolds({ inhibit }: Pick<RulesFile, 'inhibit'>): FindHold {
  const inhibitions = inhibit.map(({ when, suppress, same }) => ({
    isCause: compile(when),
    isEffect: compile(suppress),
    same,
  }))

  /** Of two that would inhibit each other none does. */
  function inhibits(cause: AlertTransition, alert: AlertTransition): boolean {
    if (cause.episode === alert.episode) return false
    if (isBehind(cause, alert)) return true
    if (cause.site !== alert.site) return false
    return inhibitions.some(
      ({ isCause, isEffect, same }) =>
        isCause(cause) &&
        isEffect(alert) &&
        same.every((key) => cause[key] === alert[key]) &&
        !(isCause(alert) && isEffect(cause)),
    )
  }

  return (state, alert) => {
    for (const { transition } of Object.values(state.firing))
      if (inhibits(transition, alert)) return { why: 'inhibited', by: transition.episode }
    for (const { id, match } of Object.values(state.silences))
      if (silences(match, alert)) return { why: 'silenced', by: id }
    return null
  }
}

/** Nobody can tell silence behind an agent that is gone. What is behind a gateway is not judged at all while that is (`link-watch.ts`). */
const isBehind = (cause: AlertTransition, alert: AlertTransition): boolean =>
  cause.detector === AGENT_UNREACHABLE &&
  alert.detector === 'silence' &&
  alert.agent === `${cause.site}/${cause.device}`

/** Patterns of a silence are compiled once. */
const compiled = new WeakMap<object, (of: Matched) => boolean>()
function silences(match: DeskState['silences'][string]['match'], alert: AlertTransition): boolean {
  const test = compiled.get(match) ?? compile(match)
  compiled.set(match, test)
  return test(alert)
}

export const isHeld = ({ held }: FiringAlert): boolean => held !== null
