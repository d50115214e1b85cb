/**
 * The detectors on the Numenta Anomaly Benchmark, with a scorer of our own (nab/score.ts) that is first checked against the published
 * results: one that does not come out ends the benchmark with 1, and so does a score that changes when a file is cut or a detector restarted.
 * The labels are public and each number here can be tuned: what was chosen on one half of the files and reported on the other says
 * more than the best threshold, and no file of these says what happens on others.
 */
import { UserError } from '@tributary/runtime'
import { LEARNED, type Learned, learnedDetector } from './learned-detector.ts'
import { crossed, type Setting } from './nab/choose.ts'
import { type Corpus, type NabFile, type Profile, readCorpus } from './nab/corpus.ts'
import { groupsOf, halveFiles, halveGroups } from './nab/halves.ts'
import { checkPublished } from './nab/published.ts'
import {
  type CreateDetector,
  microsecondsOf,
  prefixViolations,
  restartViolations,
  scoresOf,
  type Violations,
  withFeedback,
} from './nab/run-detector.ts'
import { normalised, type Tally, tallyAll } from './nab/score.ts'
import { writeScoreFiles } from './nab/score-files.ts'
import { createSweep } from './nab/sweep.ts'
import { type Report, tableLines } from './report.ts'

const FIXED_THRESHOLD = 0.5
/** No change is too small to be looked at: the benchmark names no resolution. */
const DECIMALS = 9
const SEED = 1
const HALVINGS = 50
/** Words of a person before the first row, which are what a detector's sensitivity is set by: confirmed below 0, dismissed above. */
const FEEDBACK = [-2, -1, 1, 2]
/** Of the standard profile, for the full detector: with its fixed parameters, and with what was chosen on the other half. */
const AIM = 74
const AIM_OTHER_HALF = 71
const SHORT: Readonly<Record<string, string>> = { reward_low_FP_rate: 'low FP', reward_low_FN_rate: 'low FN' }
const BUDGETS = { full: { us: 5, bytes: 16 * 1_024 }, lite: { us: 0.5, bytes: 1_024 } }

export async function run(report: Report): Promise<void> {
  const { data, detector, scores: scoresFolder } = report.options.nab
  if (data === undefined) {
    if (report.options.long)
      throw new UserError('--data is missing', {
        hint: 'the folder of the benchmark: npm run bench -- nab --data FOLDER',
      })
    report.print('not run: needs --data FOLDER, the data of the Numenta Anomaly Benchmark')
    return
  }
  if (detector !== undefined && !LEARNED.includes(detector as Learned))
    throw new UserError(`there is no detector "${detector}"`, { hint: `one of ${LEARNED.join(', ')}` })
  const corpus = await readCorpus(data)
  report.print(
    `${corpus.files.length} files, ${corpus.files.reduce((sum, { values }) => sum + values.length, 0).toLocaleString('en-GB')} rows, ${corpus.files.reduce((sum, { windows }) => sum + windows.length, 0)} windows`,
  )
  await checkScorer(corpus, report)
  const wrong: string[] = []
  for (const name of detector === undefined ? LEARNED : [detector as Learned])
    wrong.push(...(await runOne(name, corpus, scoresFolder, report)))
  if (wrong.length > 0)
    throw new UserError(wrong.join('; '), { hint: 'a detector must not look ahead, and its state is all it has' })
}

async function checkScorer(corpus: Corpus, { print }: Report): Promise<void> {
  const { compared, filesByRows, filesWithin, wrong } = await checkPublished(corpus)
  if (wrong.length > 0)
    throw new UserError(`the scorer does not give what is published:\n  ${wrong.slice(0, 20).join('\n  ')}`, {
      hint: `${wrong.length} numbers differ: the scorer is wrong, or the data are not those of the benchmark`,
    })
  const final = compared.filter(({ hasFinal }) => hasFinal)
  const byRows = new Set(compared.filter((one) => one.byRows).map((one) => one.detector))
  const without = new Set(compared.filter(({ hasFinal }) => !hasFinal).map((one) => one.detector))
  print(
    `scorer: ${final.length} published results of ${new Set(final.map((one) => one.detector)).size} detectors come out to the third decimal, those of ${[...byRows].join(', ')} row by row (${filesByRows} scores of files, too);`,
  )
  print(
    `        the rows in windows, outside and in probation agree in all stored files, and ${filesWithin} scores of files lie within what their counts allow${without.size > 0 ? `; ${[...without].join(', ')}: no final result is published` : ''}`,
  )
}

/** @returns what must not be */
async function runOne(
  name: Learned,
  corpus: Corpus,
  scoresFolder: string | undefined,
  report: Report,
): Promise<string[]> {
  const { files, profiles } = corpus
  const create: CreateDetector = (intervalMs) => learnedDetector(name, intervalMs, DECIMALS)
  report.print('')
  report.print(`detector ${name}`)
  const results = files.map((file) => {
    report.progress(`${name}: ${file.name}`)
    return scoresOf(create, file)
  })
  const scores = results.map((result) => result.scores)
  if (scoresFolder !== undefined)
    report.print(`scores of rows in ${await writeScoreFiles(scoresFolder, name, files, scores)}`)

  const figure = (what: string, value: number, beside?: string) =>
    report.figure({ what: `${name}, ${what}`, value, unit: '', ...(beside !== undefined && { beside }) })
  const aimed = (profile: Profile, value: number, aim: number) =>
    name === 'full' && profile.name === 'standard' ? `; aim ${aim} or more: ${value >= aim ? 'met' : 'MISSED'}` : ''
  const sweep = createSweep(files, scores)
  report.print(`at the fixed threshold ${FIXED_THRESHOLD}`)
  for (const line of groupTable(corpus, scores, () => FIXED_THRESHOLD)) report.print(`  ${line}`)
  report.print('at the best threshold, chosen on these same files, as the published scores are: optimistic')
  const best = new Map(profiles.map((profile) => [profile.name, sweep.best(profile, () => true).threshold]))
  for (const line of groupTable(corpus, scores, ({ name: key }) => best.get(key) as number)) report.print(`  ${line}`)
  for (const profile of profiles) {
    const at = (threshold: number) => normalised(tallyAll(files, scores, threshold, profile), profile)
    const threshold = best.get(profile.name) as number
    const asItIs = at(FIXED_THRESHOLD)
    figure(`${profile.name}, threshold ${FIXED_THRESHOLD}`, asItIs, `no choice was made${aimed(profile, asItIs, AIM)}`)
    const optimistic = at(threshold)
    figure(
      `${profile.name}, best threshold`,
      optimistic,
      `${threshold.toFixed(4)}, optimistic${aimed(profile, optimistic, AIM)}`,
    )
  }

  const fixed: Setting = { what: 'as it is', scores, sweep }
  const sensitivities = FEEDBACK.map((words): Setting => {
    report.progress(`${name}: another sensitivity`)
    const others = files.map((file) => scoresOf((intervalMs) => withFeedback(create(intervalMs), words), file).scores)
    return { what: feedbackText(words), scores: others, sweep: createSweep(files, others) }
  })
  for (const [chosen, settings] of [
    ['threshold', [fixed]],
    ['threshold and sensitivity', [fixed, ...sensitivities]],
  ] as const) {
    report.print(`${chosen} chosen on one half of the files and reported on the other`)
    for (const halving of [halveFiles(files, SEED), halveGroups(files, SEED)]) {
      report.print(`  seed ${halving.seed}, ${halving.what}`)
      for (const profile of profiles) {
        const { there, back, together, settings: taken } = crossed(corpus, settings, halving, profile)
        const which = settings.length > 1 ? ` (${taken.join(', ')})` : ''
        figure(
          `${profile.name}, ${chosen} ${halving.way}`,
          together,
          `first half chosen, second reported ${there.toFixed(2)}; the other way ${back.toFixed(2)}${which}${aimed(profile, together, AIM_OTHER_HALF)}`,
        )
      }
    }
    for (const profile of profiles) {
      const many = Array.from(
        { length: HALVINGS },
        (_, i) => crossed(corpus, settings, halveFiles(files, SEED + i), profile).together,
      )
      const mean = many.reduce((a, b) => a + b, 0) / many.length
      report.print(
        `  ${profile.name}, ${HALVINGS} halvings of each group: mean ${mean.toFixed(2)}, from ${Math.min(...many).toFixed(2)} to ${Math.max(...many).toFixed(2)}`,
      )
    }
  }
  report.print(
    'all other parameters are constants of the detector: what files those were found with does not show here',
  )

  const count = (check: typeof restartViolations, what: string): Violations => {
    const sum = { compared: 0, violations: 0 }
    for (const [f, file] of files.entries()) {
      report.progress(`${name}: ${what}, ${file.name}`)
      const { compared, violations } = check(
        create,
        file,
        scores[f] as Float64Array,
        files[(f + 1) % files.length] as NabFile,
      )
      sum.compared += compared
      sum.violations += violations
    }
    figure(
      `${what} over ${files.length} files`,
      sum.violations,
      `${sum.compared.toLocaleString('en-GB')} scores compared`,
    )
    return sum
  }
  const prefix = count(prefixViolations, 'prefix violations')
  const restart = count(restartViolations, 'restart violations')
  report.figure({
    what: `${name}, a point`,
    value: microsecondsOf(create, files),
    unit: 'µs',
    budget: BUDGETS[name].us,
  })
  report.figure({
    what: `${name}, largest state`,
    value: Math.max(...results.map(({ bytesMax }) => bytesMax)),
    unit: 'bytes',
    budget: BUDGETS[name].bytes,
  })
  return [
    ...(prefix.violations > 0 ? [`${name}: ${prefix.violations} scores change when a file is cut behind them`] : []),
    ...(restart.violations > 0
      ? [`${name}: ${restart.violations} scores change with restarts and another series in between`]
      : []),
  ]
}

const feedbackText = (words: number): string => (words < 0 ? `${-words} × confirmed` : `${words} × dismissed`)

/** Windows found and rows wrongly detected by the first profile, scores of all. */
function groupTable(
  { files, profiles }: Corpus,
  scores: readonly Float64Array[],
  thresholdOf: (profile: Profile) => number,
): string[] {
  const rowOf = (name: string, isIn: (group: string) => boolean): string[] => {
    const some = files.filter(({ group }) => isIn(group))
    const those = scores.filter((_, f) => isIn(files[f]?.group ?? ''))
    const tallies = profiles.map((profile): [Profile, Tally] => [
      profile,
      tallyAll(some, those, thresholdOf(profile), profile),
    ])
    const [first] = tallies[0] ? [tallies[0][1]] : []
    // Without a window there is no scale: what the false rows cost.
    const score = ([profile, tally]: [Profile, Tally]) =>
      tally.windows > 0 ? normalised(tally, profile).toFixed(2) : `(${tally.sum.toFixed(2)})`
    return [
      name,
      String(some.length),
      `${first?.found} of ${first?.windows}`,
      String(first?.falsePositives),
      ...tallies.map(score),
    ]
  }
  return tableLines([
    ['', 'files', 'windows found', 'false rows', ...profiles.map(({ name }) => SHORT[name] ?? name)],
    ...groupsOf(files).map((group) => rowOf(group, (one) => one === group)),
    rowOf('all', () => true),
  ])
}
