/** The best threshold for any choice of files: all rows by falling score, each with what it adds to the sum when it is detected. */
import type { NabFile, Profile } from './corpus.ts'
import { probationRows, rowWorthOf } from './score.ts'

export interface Best {
  /** Infinity: it is best to detect nothing. */
  readonly threshold: number
  readonly sum: number
}

export interface Sweep {
  /** @param chosen files by their place */
  best(profile: Profile, chosen: (file: number) => boolean): Best
}

export function createSweep(files: readonly NabFile[], scores: readonly ArrayLike<number>[]): Sweep {
  const rows = files.flatMap((file, f) => {
    const first = probationRows(file)
    return Array.from({ length: file.values.length - first }, (_, i) => ({ f, row: first + i }))
  })
  const scoreOf = ({ f, row }: { f: number; row: number }) => scores[f]?.[row] as number
  const falling = rows.filter((at) => !Number.isNaN(scoreOf(at))).sort((a, b) => scoreOf(b) - scoreOf(a))
  const fileOf = Int32Array.from(falling, ({ f }) => f)
  const scoreAt = Float64Array.from(falling, scoreOf)
  /** What the window gains: all of the reward and the missed window with its first row, the difference with an earlier one. */
  const gain = new Float64Array(falling.length)
  const finds = new Uint8Array(falling.length)
  const cost = new Float64Array(falling.length)
  const worths = files.map(rowWorthOf)
  const bests = files.map(({ windows }) => new Float64Array(windows.length).fill(-1))
  for (const [i, { f, row }] of falling.entries()) {
    const { window, worth } = worths[f] as (typeof worths)[number]
    const best = bests[f] as Float64Array
    const w = window[row] as number
    if (w < 0) cost[i] = worth[row] as number
    else if ((worth[row] as number) > (best[w] as number)) {
      finds[i] = (best[w] as number) < 0 ? 1 : 0
      gain[i] = (worth[row] as number) - Math.max(0, best[w] as number)
      best[w] = worth[row] as number
    }
  }
  return {
    best({ truePositive, falsePositive, falseNegative }, chosen) {
      const isChosen = Uint8Array.from(files, (_, f) => (chosen(f) ? 1 : 0))
      let sum = files.reduce((total, { windows }, f) => total - (isChosen[f] ? falseNegative * windows.length : 0), 0)
      let best: Best = { threshold: Number.POSITIVE_INFINITY, sum }
      for (let i = 0; i < scoreAt.length; i++) {
        if (isChosen[fileOf[i] as number] === 1)
          sum +=
            truePositive * (gain[i] as number) +
            falseNegative * (finds[i] as number) -
            falsePositive * (cost[i] as number)
        if (sum > best.sum && scoreAt[i + 1] !== scoreAt[i]) best = { threshold: scoreAt[i] as number, sum }
      }
      return best
    },
  }
}
