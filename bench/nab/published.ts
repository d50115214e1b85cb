/**
 * Our scorer beside the benchmark's published results. What is published of a detector is, for each file, the threshold, the score and the
 * counts of rows; the scores of the rows are not. So:
 * 1. the sum of each detector's files, on our scale, is its final result, to the third decimal;
 * 2. each file has as many rows in windows and outside of them as the counts say, and its score lies between the highest and
 *    the lowest that so many detections can give by our weights;
 * 3. detectors that can be repeated (known-detectors.ts) are scored row by row: final results, and the score of each file.
 * Some of the stored files (of `random`) are older than the labels and incomplete; of those only the final results are compared.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { UserError } from '@tributary/runtime'
import type { Corpus, NabFile, Profile } from './corpus.ts'
import { KNOWN_DETECTORS } from './known-detectors.ts'
import { normalised, probationRows, rowWorthOf, tally } from './score.ts'

const TOLERANCE = 0.0005
/** Of sums of weights that were written with a dozen digits. */
const ROUNDING = 1e-6

interface StoredFile {
  readonly threshold: number
  readonly score: number
  readonly truePositives: number
  readonly falsePositives: number
  readonly inWindows: number
  readonly outside: number
}

export interface Check {
  /** Detectors and profiles of which the final result was compared, with how. */
  readonly compared: readonly {
    detector: string
    profile: string
    result: number
    hasFinal: boolean
    byRows: boolean
  }[]
  /** Scores of single files that were repeated row by row, and that were found within their bounds. */
  readonly filesByRows: number
  readonly filesWithin: number
  /** What does not come out. */
  readonly wrong: readonly string[]
}

/** @throws UserError when there are no published results */
export async function checkPublished(corpus: Corpus): Promise<Check> {
  const folder = join(corpus.folder, 'published')
  const compared: { detector: string; profile: string; result: number; hasFinal: boolean; byRows: boolean }[] = []
  const wrong: string[] = []
  let filesByRows = 0
  let filesWithin = 0
  const finals = await readFinals(folder)
  const names = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory())
  if (names.length === 0) throw new UserError(`${folder} has no detector`, { hint: 'a folder each is expected there' })
  for (const { name: detector } of names)
    for (const profile of corpus.profiles) {
      const what = `${detector}, ${profile.name}`
      const stored = await readStored(join(folder, detector, `${detector}_${profile.name}_scores.csv`))
      const isComplete = corpus.files.every(({ name }) => stored.has(name))
      const repeat = KNOWN_DETECTORS[detector]
      let byRows = 0
      let byFiles = 0
      const threshold = [...stored.values()][0]?.threshold ?? Number.NaN
      for (const file of corpus.files) {
        const known = stored.get(file.name)
        const score = repeat && tally(file, repeat(file), threshold, profile).sum
        byRows += score ?? 0
        byFiles += known?.score ?? 0
        if (known === undefined || !isComplete) continue
        if (score !== undefined) {
          filesByRows += 1
          if (!(Math.abs(score - known.score) < TOLERANCE))
            wrong.push(`${what}, ${file.name}: ${score} by our rows, ${known.score} is published`)
        }
        const mistake = outOfBounds(file, known, profile)
        if (mistake === undefined) filesWithin += 1
        else wrong.push(`${what}, ${file.name}: ${mistake}`)
      }
      const windows = corpus.files.reduce((sum, file) => sum + file.windows.length, 0)
      const final = finals[detector]?.[profile.name]
      const compare = (sum: number, rows: boolean) => {
        const result = normalised({ sum, windows }, profile)
        if (final !== undefined && !(Math.abs(result - final) < TOLERANCE))
          wrong.push(`${what}: ${result} ${rows ? 'by our rows' : 'from its files'}, ${final} is published`)
        return result
      }
      if (!isComplete && repeat === undefined) wrong.push(`${what}: files are missing, and it cannot be repeated`)
      const results = [...(isComplete ? [compare(byFiles, false)] : []), ...(repeat ? [compare(byRows, true)] : [])]
      compared.push({
        detector,
        profile: profile.name,
        result: results.at(-1) ?? Number.NaN,
        hasFinal: final !== undefined,
        byRows: repeat !== undefined,
      })
    }
  return { compared, filesByRows, filesWithin, wrong }
}

/** What the counts of a file allow its score to be. */
function outOfBounds(file: NabFile, known: StoredFile, profile: Profile): string | undefined {
  const { window, worth } = rowWorthOf(file)
  const costs: number[] = []
  let inside = 0
  for (let row = probationRows(file); row < file.values.length; row++)
    if (window[row] === -1) costs.push(worth[row] as number)
    else inside += 1
  if (inside !== known.inWindows || costs.length !== known.outside)
    return `${inside} rows in windows and ${costs.length} outside, ${known.inWindows} and ${known.outside} are published`
  costs.sort((a, b) => a - b)
  const sum = (some: readonly number[]) => some.reduce((a, b) => a + b, 0)
  const { truePositives, falsePositives } = known
  const found = Math.min(truePositives, file.windows.length)
  const missed = (windowsFound: number) => profile.falseNegative * (file.windows.length - windowsFound)
  const highest =
    profile.truePositive * found - missed(found) - profile.falsePositive * sum(costs.slice(0, falsePositives))
  const lowest =
    -missed(Math.min(1, found)) - profile.falsePositive * sum(falsePositives === 0 ? [] : costs.slice(-falsePositives))
  return known.score < lowest - ROUNDING || known.score > highest + ROUNDING
    ? `${known.score} is published, by our weights it lies between ${lowest} and ${highest}`
    : undefined
}

async function readFinals(folder: string): Promise<Record<string, Record<string, number>>> {
  try {
    return JSON.parse(await readFile(join(folder, 'final_results.json'), 'utf8')) as Record<
      string,
      Record<string, number>
    >
  } catch (cause) {
    throw new UserError(`${folder} has no final_results.json that can be read`, {
      hint: 'without published results the scorer cannot be checked',
      cause,
    })
  }
}

async function readStored(path: string): Promise<Map<string, StoredFile>> {
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new UserError(`there is no ${path}`, { hint: 'each detector has a file for each profile there', cause })
  })
  const [head = '', ...lines] = text.trim().split(/\r?\n/)
  const columns = head.split(',')
  return new Map(
    lines
      .map((line) => line.split(','))
      .filter(([first]) => first !== 'Totals')
      .map((cells): [string, StoredFile] => {
        const number = (column: string) => Number(cells[columns.indexOf(column)])
        return [
          cells[columns.indexOf('File')] ?? '',
          {
            threshold: number('Threshold'),
            score: number('Score'),
            truePositives: number('TP'),
            falsePositives: number('FP'),
            inWindows: number('TP') + number('FN'),
            outside: number('TN') + number('FP'),
          },
        ]
      }),
  )
}
