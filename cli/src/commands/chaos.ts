/**
 * `tributary chaos` (and `npm run chaos`): breaks a pipeline of its own in every way there is, and shows that nothing is lost, nothing
 * doubled and nobody paged for it twice.
 */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { UserError } from '@tributary/runtime'
import { type Abilities, type ChaosReport, FAULTS, type Fault, findAbilities, runChaos } from '@tributary/stack'
import { Command, InvalidArgumentError } from 'commander'
import { wholeNumber } from '../option-values.ts'
import { count, print, table } from '../print.ts'

interface ChaosOptions {
  rounds: number
  seed: number
  faults?: string[]
  list?: boolean
  json?: string
  rate?: number
  dataDir?: string
}

const ROUNDS_MAX = 10_000
const ROUND_SECONDS = 30

export function chaosCommand(): Command {
  return new Command('chaos')
    .description('break a pipeline of its own, again and again, and show that no reading is lost or doubled')
    .option('--rounds <n>', 'faults, one after another', rounds, 5)
    .option('--seed <n>', 'decides which faults, when and to whom', wholeNumber, 1)
    .option('--faults <kinds>', 'only these kinds, joined by commas (see --list)', kinds)
    .option('--list', 'print the kinds of faults, one line each, and do nothing')
    .option('--json <file>', 'write the result as JSON')
    .option('--rate <n>', 'readings a second of all devices together (default: 490)', wholeNumber)
    .option(
      '--data-dir <folder>',
      'where everything is written, and kept; must be empty (default: a temporary folder, kept only when a round fails)',
    )
    .addHelpText(
      'after',
      `
It starts nats-server, influxd, gateway, processor, ten simulated devices and two agents on free loopback ports of this machine, and
breaks those alone: no other process, port, disk or network card is touched, and all of it is gone afterwards. Without root
the faults that need it are left out, and said to be. After each round every value in InfluxDB is compared with what the devices measured.

The JSON: {seed, date, seconds, roundsAsked, rounds: [{round, fault, variant, faultSeconds, recoverySeconds, readings, missing,
duplicates, windowsChecked, mistakes}], table: [{fault, times, worstRecoverySeconds, missing, duplicates}], whole: {produced, stored,
deadLettered, shed, lostAtDevice, missing, duplicates, wrong, windowsChecked, alerts}, notAvailable: [{fault, why}],
substitutes: [{fault, instead}], versions, mistakes, keptIn}.
Exit code 0 when all is well, 1 when a round failed, 130 when it was interrupted.`,
    )
    .action(async (options: ChaosOptions) => {
      if (options.list) await listFaults()
      else await breakThings(options)
    })
}

function rounds(text: string): number {
  const value = wholeNumber(text)
  if (value < 1 || value > ROUNDS_MAX) throw new InvalidArgumentError(`must be 1 to ${ROUNDS_MAX}.`)
  return value
}

function kinds(text: string): string[] {
  const names = text.split(',').filter(Boolean)
  const unknown = names.filter((name) => !FAULTS.some(({ kind }) => kind === name))
  if (unknown.length > 0 || names.length === 0)
    throw new InvalidArgumentError(
      `there is no ${unknown.join(', ')}; there are ${FAULTS.map((f) => f.kind).join(', ')}.`,
    )
  return names
}

const obstacleOf = (fault: Fault, abilities: Abilities): string | undefined => fault.obstacle?.(abilities)

async function abilitiesHere(): Promise<Abilities> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-try-'))
  try {
    return await findAbilities(folder, (text) => process.stderr.write(`${text}\n`))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function listFaults(): Promise<void> {
  const abilities = await abilitiesHere()
  print(
    table(
      ['fault', 'what happens'],
      FAULTS.map((fault) => {
        const why = obstacleOf(fault, abilities)
        const instead = fault.substitute?.(abilities)
        return [
          fault.kind,
          `${fault.says}${why ? ` [not available here: ${why}]` : ''}${instead ? ` [here instead: ${instead}]` : ''}`,
        ]
      }),
    ),
  )
}

async function breakThings(options: ChaosOptions): Promise<void> {
  const say = (text: string) => process.stderr.write(`${text}\n`)
  const abilities = await abilitiesHere()
  const wanted = FAULTS.filter(({ kind }) => options.faults === undefined || options.faults.includes(kind))
  const possible = wanted.filter((fault) => obstacleOf(fault, abilities) === undefined)
  const notAvailable = wanted.flatMap((fault) => {
    const why = obstacleOf(fault, abilities)
    return why === undefined ? [] : [{ fault: fault.kind, why }]
  })
  const substitutes = possible.flatMap((fault) => {
    const instead = fault.substitute?.(abilities)
    return instead === undefined ? [] : [{ fault: fault.kind, instead }]
  })
  if (possible.length === 0)
    throw new UserError('none of these faults can be brought about here', {
      hint: notAvailable.map(({ fault, why }) => `${fault}: ${why}`).join('; '),
    })
  const folder = await prepareFolder(options.dataDir)
  const minutes = Math.ceil((options.rounds * ROUND_SECONDS) / 60)
  say(
    `${options.rounds} rounds, seed ${options.seed}, about ${minutes} min. Everything happens to processes of its own on`,
  )
  say(`loopback ports of this machine; data and logs lie in ${folder}. Ctrl-C ends it.`)
  for (const { fault, why } of notAvailable) say(`Left out: ${fault} (${why})`)
  for (const { fault, instead } of substitutes) say(`In place of ${fault}: ${instead}`)

  const interrupted = new AbortController()
  const onSignal = () => interrupted.abort(new UserError('interrupted'))
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  let whole = false
  try {
    const result = await runChaos({
      folder,
      rounds: options.rounds,
      seed: options.seed,
      faults: possible,
      abilities,
      ratePerSecond: options.rate,
      say,
      onRound: (round) => {
        const recovery = round.recoverySeconds === null ? 'NOT RECOVERED' : `recovered in ${round.recoverySeconds} s`
        say(
          `        ${round.faultSeconds} s, ${recovery}; ${count(round.readings)} readings and ${count(round.windowsChecked)} windows compared: missing ${round.missing}, duplicates ${round.duplicates}`,
        )
      },
      signal: interrupted.signal,
    })
    whole = result.mistakes.length === 0
    const isKept = !whole || options.dataDir !== undefined
    const report: ChaosReport = { ...result, notAvailable, substitutes, keptIn: isKept ? folder : null }
    if (options.json) await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`)
    printReport(report, interrupted.signal.aborted)
    process.exitCode = !whole ? 1 : interrupted.signal.aborted ? 130 : 0
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
    if (whole && options.dataDir === undefined) await rm(folder, { recursive: true, force: true })
  }
}

async function prepareFolder(given: string | undefined): Promise<string> {
  if (given === undefined) return mkdtemp(join(tmpdir(), 'tributary-chaos-'))
  const folder = resolve(given)
  await mkdir(folder, { recursive: true })
  if ((await readdir(folder)).length > 0)
    throw new UserError(`${folder} is not empty`, {
      hint: 'give a new folder with --data-dir; nothing is deleted for you',
    })
  return folder
}

function printReport(report: ChaosReport, wasInterrupted: boolean): void {
  const { whole, rounds: done, mistakes } = report
  print('')
  print(
    table(
      ['fault', 'times', 'worst recovery (s)', 'missing', 'duplicates'],
      report.table.map((row) => [
        row.fault,
        row.times,
        row.worstRecoverySeconds ?? Number.NaN,
        row.missing,
        row.duplicates,
      ]),
    ),
  )
  print('')
  if (whole)
    print(
      `The whole run: ${count(whole.produced)} readings produced = ${count(whole.stored)} stored + ${count(whole.deadLettered)} dead-lettered + ${count(whole.shed)} shed + ${count(whole.lostAtDevice)} lost at the device; missing ${whole.missing}, duplicates ${whole.duplicates}; ${count(whole.windowsChecked)} windows right, of all widths and fields; ${whole.alerts} alerts, each told once.`,
    )
  const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`)
  print(
    `seed ${report.seed}, ${done.length} of ${report.roundsAsked} rounds in ${report.seconds} s, ${report.date.slice(0, 10)}, ${versions.join(', ')}`,
  )
  for (const { fault, why } of report.notAvailable) print(`not available here: ${fault} (${why})`)
  for (const { fault, instead } of report.substitutes) print(`in place of ${fault}: ${instead}`)
  if (wasInterrupted) print('Interrupted: the table holds the rounds until then.')
  if (mistakes.length === 0) return
  const last = done.at(-1)
  print(`\nNOT WELL after round ${last?.round} (${last?.fault}: ${last?.variant}), seed ${report.seed}:`)
  for (const mistake of mistakes) print(`  ${mistake}`)
  print(`Logs, spools, the store and the ledger are kept in ${report.keptIn}`)
}
