/** How long until the backlog is gone, at the pace of the last seconds. */

const INTERVAL_MS = 1_000
const POINTS_MAX = 15
/** More than any person waits; said when the backlog does not shrink. */
export const DRAIN_SECONDS_MAX = 1_000_000_000
/** Batches that wait while all is well: the newest ones, and those in flight. */
const NO_BACKLOG_BATCHES = 20
/** From fewer points there is no telling: a start with a backlog is no reason to page someone. */
const POINTS_MIN = 4

export interface DrainPace {
  /** @param sent and @param appended sequences so far */
  note(nowMs: number, sent: number, appended: number): void
  /** The other end is there again: what was seen of the pace before says nothing of it. */
  forget(): void
  /** 0 when there is no backlog, or too little is known of the pace. */
  drainSeconds(backlogBatches: number): number
}

export function createDrainPace(): DrainPace {
  const points: { atMs: number; sent: number; appended: number }[] = []
  return {
    note(nowMs, sent, appended) {
      const last = points.at(-1)
      if (last && nowMs - last.atMs < INTERVAL_MS) return
      points.push({ atMs: nowMs, sent, appended })
      if (points.length > POINTS_MAX) points.shift()
    },
    forget() {
      points.length = 0
    },
    drainSeconds(backlogBatches) {
      if (backlogBatches <= NO_BACKLOG_BATCHES) return 0
      const first = points[0]
      const last = points.at(-1)
      if (!first || !last || points.length < POINTS_MIN) return 0
      const shrunkBy = last.sent - first.sent - (last.appended - first.appended)
      if (shrunkBy <= 0) return DRAIN_SECONDS_MAX
      const seconds = (backlogBatches * (last.atMs - first.atMs)) / 1_000 / shrunkBy
      return Math.min(DRAIN_SECONDS_MAX, Math.round(seconds * 10) / 10)
    },
  }
}
