/** Whether a backlog grows: more than a hundred batches wait, and more than a minute ago. */
const SPAN_MS = 60_000
const BATCHES_MIN = 100
/** A batch more or less is none. */
const RATIO = 1.1

export function createGrowth(): { add(batches: number, atMs: number): void; readonly isGrowing: boolean } {
  let looks: { batches: number; atMs: number }[] = []
  return {
    add(batches, atMs) {
      looks = [...looks.filter((look) => atMs - look.atMs <= SPAN_MS), { batches, atMs }].slice(-SPAN_MS / 1_000)
    },
    get isGrowing() {
      const first = looks[0]
      const last = looks.at(-1)
      if (!first || !last || last.atMs - first.atMs < SPAN_MS / 2) return false
      return last.batches > BATCHES_MIN && last.batches > first.batches * RATIO
    },
  }
}
