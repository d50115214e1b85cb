/**
 * What is chosen on some files and reported on others. Nothing of the files that are reported on, neither labels nor scores, has a
 * part in the choice.
 */
import type { Corpus, Profile } from './corpus.ts'
import type { Halving } from './halves.ts'
import { normalised, type Tally, tallyAll } from './score.ts'
import type { Sweep } from './sweep.ts'

/** A detector with one choice of its parameters, run over all files. */
export interface Setting {
  readonly what: string
  readonly scores: readonly Float64Array[]
  readonly sweep: Sweep
}

export interface Crossed {
  /** Chosen on the first half and reported on the second, and the other way. */
  readonly there: number
  readonly back: number
  /** Both reports as one. */
  readonly together: number
  /** The settings of those reports. */
  readonly settings: readonly [there: string, back: string]
}

/** Each half with the setting and threshold that are best for the other one. @param settings of equal ones the first is taken */
export function crossed(
  { files }: Pick<Corpus, 'files'>,
  settings: readonly Setting[],
  { isFirst }: Pick<Halving, 'isFirst'>,
  profile: Profile,
): Crossed {
  const report = (onFirst: boolean): { tally: Tally; setting: string } => {
    const [first, ...others] = settings.map((setting) => ({
      setting,
      ...setting.sweep.best(profile, (f) => isFirst[f] !== onFirst),
    }))
    if (first === undefined) throw new Error('there is nothing to choose from')
    const { setting, threshold } = others.reduce((best, one) => (one.sum > best.sum ? one : best), first)
    const isIn = (_: unknown, f: number) => isFirst[f] === onFirst
    return {
      tally: tallyAll(files.filter(isIn), setting.scores.filter(isIn), threshold, profile),
      setting: setting.what,
    }
  }
  const [there, back] = [report(false), report(true)]
  const both = { sum: there.tally.sum + back.tally.sum, windows: there.tally.windows + back.tally.windows }
  return {
    there: normalised(there.tally, profile),
    back: normalised(back.tally, profile),
    together: normalised(both, profile),
    settings: [there.setting, back.setting],
  }
}
