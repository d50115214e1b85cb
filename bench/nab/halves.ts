/** Two ways of halving the files, both from a seed: half of each group of files, or half of the groups. */
import { createRandom, type Random } from '@tributary/runtime'
import type { NabFile } from './corpus.ts'

export interface Halving {
  readonly way: string
  /** What is in the first half. */
  readonly what: string
  readonly seed: number
  /** Is the file, by its place, in the first half? */
  readonly isFirst: readonly boolean[]
}

export function halveFiles(files: readonly NabFile[], seed: number): Halving {
  const random = createRandom(seed)
  const first = new Set<string>()
  let carried = 0
  for (const group of groupsOf(files)) {
    const names = shuffled(
      files.filter((file) => file.group === group).map(({ name }) => name),
      random,
    )
    // Of groups with an odd number the halves take turns with one file more.
    const half = Math.floor((names.length + carried) / 2)
    if (names.length % 2 === 1) carried = 1 - carried
    for (const name of names.slice(0, half)) first.add(name)
  }
  return {
    way: 'halved within groups',
    what: `first half: ${first.size} of ${files.length} files, as near as can be half of each group`,
    seed,
    isFirst: files.map(({ name }) => first.has(name)),
  }
}

export function halveGroups(files: readonly NabFile[], seed: number): Halving {
  const groups = shuffled(groupsOf(files), createRandom(seed))
  const first = new Set(groups.slice(0, Math.ceil(groups.length / 2)))
  return {
    way: 'halved by groups',
    what: `first half: ${[...first].sort().join(', ')}`,
    seed,
    isFirst: files.map(({ group }) => first.has(group)),
  }
}

export const groupsOf = (files: readonly NabFile[]): string[] => [...new Set(files.map(({ group }) => group))].sort()

/** Fisher and Yates. */
function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  const result = [...items]
  for (let i = result.length - 1; i > 0; i--) {
    const other = random.below(i + 1)
    ;[result[i], result[other]] = [result[other] as Item, result[i] as Item]
  }
  return result
}
