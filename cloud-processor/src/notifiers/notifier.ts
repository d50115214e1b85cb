/** The seam of all notifiers. A further one needs one new file here, one line in `index.ts`, one entry in the schema. */
import type { AlertTransition } from '../alerts/episode.ts'

/** What one receiver is to be told, once. */
export interface Notification {
  /** `<episode>/<state>`: the same when it is sent again; receivers drop repeats by it. */
  readonly key: string
  readonly transition: AlertTransition
  /** When the stream had what caused it: its age counts from then. Absent in checkpoints of before. */
  readonly queuedAtMs?: number
  /** Why it is told, when that is not the transition alone. */
  readonly reason?: 'escalated' | 'repeated' | 'group' | 'digest' | 'test'
  /** Of a group or a digest: what it is about. Its own id has no end that is told. */
  readonly episodes?: readonly NamedEpisode[]
}

export interface NamedEpisode
  extends Pick<
    AlertTransition,
    'episode' | 'severity' | 'rule' | 'site' | 'device' | 'kind' | 'field' | 'message' | 'startedAtMs' | 'atMs'
  > {
  readonly state: 'firing' | 'resolved'
}

export interface Notifier {
  readonly name: string
  /**
   * Resolves, with what the receiver said, when it has taken it. Rejects with `PermanentError` when trying again is of no use,
   * with anything else when it is.
   */
  send(notification: Notification, signal: AbortSignal): Promise<string>
  /** Of a receiver that forgets what it is not told again. */
  readonly standing?: Standing
}

export interface Standing {
  readonly everyMs: number
  /** Tells everything that stands again, at once. */
  repeat(all: readonly Notification[], signal: AbortSignal): Promise<void>
}

/** The receiver does not let us in, or is not at this address: tried again, and a person must mend it. */
export class AccessRefusedError extends Error {
  override readonly name = 'AccessRefusedError'
}

/** The receiver asked for some time. */
export class RetryLaterError extends Error {
  override readonly name = 'RetryLaterError'
  readonly afterMs: number
  constructor(detail: string, afterMs: number) {
    super(detail)
    this.afterMs = afterMs
  }
}
