/** Which dead letters a command means. */
import type { DeadLetter, DeadLetterStage } from '@tributary/protocol'
import { type Command, Option } from 'commander'
import { moment } from './option-values.ts'

export const STAGES = ['edge', 'decode', 'contract', 'store'] satisfies DeadLetterStage[]

export interface Selection {
  readonly agent?: string
  readonly stage?: DeadLetterStage
  readonly reason?: string
  readonly device?: string
  readonly kind?: string
  /** Refused at this time or after, and before; milliseconds since 1970. */
  readonly since?: number
  readonly until?: number
}

export const addSelection = (command: Command, reasonMeans = 'refused for this reason'): Command =>
  command
    .option('--agent <name>', 'of this agent only')
    .addOption(new Option('--stage <stage>', 'refused at this stage only').choices(STAGES))
    .option('--reason <reason>', reasonMeans)
    .option('--device <name>', 'of this device only')
    .option('--kind <kind>', 'of this kind only')
    .option('--since <time>', 'refused at or after this time, such as 2026-05-01T08:00:00Z, or 2h (ago)', moment)
    .option('--until <time>', 'refused before this time', moment)

export const isSelective = ({ agent, stage, reason, device, kind, since, until }: Selection): boolean =>
  [agent, stage, reason, device, kind, since, until].some((value) => value !== undefined)

/** @param ids none: all that the selection leaves */
export function isSelected(letter: DeadLetter, selection: Selection, ids: ReadonlySet<string> = new Set()): boolean {
  const {
    agent,
    stage,
    reason,
    device,
    kind,
    since = Number.NEGATIVE_INFINITY,
    until = Number.POSITIVE_INFINITY,
  } = selection
  return (
    (ids.size === 0 || ids.has(letter.id)) &&
    (agent ?? letter.agent) === letter.agent &&
    (stage ?? letter.stage) === letter.stage &&
    (reason ?? letter.reason) === letter.reason &&
    (device ?? letter.device) === letter.device &&
    (kind ?? letter.kind) === letter.kind &&
    letter.refusedAtMs >= since &&
    letter.refusedAtMs < until
  )
}
