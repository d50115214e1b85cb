/** For people who mistyped: which of the known names they may have meant. */

/** Of "humidity" people mean "humidity_percent". */
const PREFIX_MIN = 3

/** @returns undefined when none is near: more than a third of it would have to change, and none begins with it */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  let nearest: string | undefined
  let stepsMin = Math.max(1, Math.floor(name.length / 3)) + 1
  for (const one of known) {
    const steps = name.length >= PREFIX_MIN && one.startsWith(name) ? 1 : editSteps(name, one)
    if (steps >= stepsMin) continue
    stepsMin = steps
    nearest = one
  }
  return nearest
}

/** Levenshtein: letters to insert, leave out or replace. */
function editSteps(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (let f = 1; f <= from.length; f++) {
    const next = [f]
    for (let t = 1; t <= to.length; t++) {
      const replaced = (row[t - 1] as number) + (from[f - 1] === to[t - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[t] as number) + 1, (next[t - 1] as number) + 1))
    }
    row = next
  }
  return row[to.length] as number
}
