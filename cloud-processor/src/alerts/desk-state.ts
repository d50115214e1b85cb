/** What the desk remembers: plain JSON of bounded size, part of the checkpoint. */
import type { SilenceMatch } from '@tributary/protocol'
import type { AlertTransition } from './episode.ts'

/** A firing episode: who was told, or why nobody was. */
export interface FiringAlert {
  transition: AlertTransition
  /** Receivers that know of it: they are told its end. */
  told: string[]
  /** Nobody is told while this holds. */
  held: Hold | null
  acknowledged: Acknowledgement | null
  /** First tick after it was told: from here on people had the time to look. */
  sinceMs: number | null
  isEscalated: boolean
  /** Repetitions told, and the tick of the last. */
  repeats: number
  repeatedAtMs: number | null
  /** The last time under which the store knows something of it that is no reading's doing. */
  recordedAtMs?: number
}

export interface Hold {
  readonly why: 'inhibited' | 'silenced'
  /** Of the episode that inhibits, or of the silence. */
  readonly by: string
}

export interface Acknowledgement {
  readonly by: string
  readonly comment: string
  readonly atMs: number
}

export interface Silence {
  readonly id: string
  readonly match: SilenceMatch
  readonly fromMs: number
  readonly untilMs: number
  readonly by: string
  readonly comment: string
}

/** What one receiver is to be told of one episode. */
export interface Telling {
  readonly reason: 'firing' | 'resolved' | 'escalated' | 'repeated'
  /** Which repetition. */
  readonly n?: number
  readonly transition: AlertTransition
}

/** Tellings that wait to become one notification: of a group, or beyond a receiver's limit. */
export interface Bundle {
  readonly receiver: string
  /** Of a group; a digest has none. */
  readonly group?: { readonly site: string; readonly rule: string }
  items: Telling[]
  /** Beyond `BUNDLE_ITEMS_MAX`: counted. */
  more: number
  /** First tick with something in it. */
  sinceMs: number | null
  /** Tick at which it last went out. */
  sentAtMs: number | null
}

export interface DeskState {
  /** By episode. */
  firing: Record<string, FiringAlert>
  silences: Record<string, Silence>
  bundles: Record<string, Bundle>
  /** By receiver: notifications since that moment, for an hour. */
  budgets: Record<string, { fromMs: number; told: number }>
  /** The time of the stream at the last tick; 0 before the first. */
  tickedAtMs: number
  /** From here on ticks have come without a break: before, nobody could be heard. */
  listeningSinceMs: number
}

export const SILENCES_MAX = 1_000
export const BUNDLE_ITEMS_MAX = 100
/** Groups that wait or rest; what begins beyond them is told alone. */
export const BUNDLES_MAX = 2_000

export const startDesk = (): DeskState => ({
  firing: {},
  silences: {},
  bundles: {},
  budgets: {},
  tickedAtMs: 0,
  listeningSinceMs: 0,
})
