/**
 * `npm run bench [-- NAME …]`: runs the benchmarks named, or all. Each prints its figures and checks its result. Those that take
 * minutes do so only when they are named, or with `--full`.
 */
import { readdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { messageOf, systemClock, UserError } from '@tributary/runtime'
import { type Figure, figureText, type Report } from './report.ts'

const PROGRESS_MS = 5_000

const folder = dirname(fileURLToPath(import.meta.url))
const all = (await readdir(folder))
  .filter((file) => file.endsWith('.bench.ts'))
  .map((file) => file.slice(0, -'.bench.ts'.length))
  .sort()
const HELP = `usage: npm run bench [-- [${all.join('|')}] … [--full] [--minutes N] [--profile F] [--data F] [--detector NAME] [--scores F] [--json]]

  --full         the long parts too (those of a benchmark that is named are run anyway)
  --minutes N    how long the outage in "edge" lasts (10)
  --profile F    "end-to-end" and "peers": CPU profiles of agent, gateway and processor into this folder (costs some speed)
  --data F       "nab": the folder of the Numenta Anomaly Benchmark, with data/, labels/, config/ and published/
  --detector N   "nab": this detector alone, full or lite
  --scores F     "nab": write the score of each row into this folder, laid out as the benchmark's results
  --json         print {figures: [{bench, what, value, unit, budget}]}, all else on standard error
`

function readArguments() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        full: { type: 'boolean', default: false },
        minutes: { type: 'string', default: '10' },
        profile: { type: 'string' },
        data: { type: 'string' },
        detector: { type: 'string' },
        scores: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    const unknown = positionals.filter((name) => !all.includes(name))
    if (unknown.length > 0) throw new Error(`there is no benchmark "${unknown[0]}"`)
    if (!/^\d+(\.\d+)?$/.test(values.minutes)) throw new Error('--minutes must be a number')
    return { ...values, minutes: Number(values.minutes), names: positionals }
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n${HELP}`)
    process.exit(2)
  }
}

const { names, full, minutes, profile, data, detector, scores, json, help } = readArguments()
const folderOf = (path: string | undefined) => (path === undefined ? undefined : resolve(path))
if (help) {
  process.stdout.write(HELP)
  process.exit(0)
}
const output = json ? process.stderr : process.stdout
const figures: (Figure & { bench: string })[] = []
for (const name of names.length > 0 ? names : all) {
  output.write(`\n${name}\n`)
  let saidMs = systemClock.monotonicMs()
  const report: Report = {
    options: {
      long: full || names.includes(name),
      minutes,
      profileFolder: profile === undefined ? undefined : join(resolve(profile), name),
      nab: { data: folderOf(data), detector, scores: folderOf(scores) },
    },
    print: (line) => {
      saidMs = systemClock.monotonicMs()
      output.write(`  ${line}\n`)
    },
    figure(figure) {
      figures.push({ bench: name, ...figure })
      this.print(figureText(figure))
    },
    progress(text) {
      if (systemClock.monotonicMs() - saidMs < PROGRESS_MS) return
      saidMs = systemClock.monotonicMs()
      process.stderr.write(`  … ${text}\n`)
    },
  }
  const { run } = (await import(pathToFileURL(join(folder, `${name}.bench.ts`)).href)) as {
    run: (report: Report) => Promise<void>
  }
  try {
    await run(report)
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    process.stderr.write(`${name}: ${error.message}\n${error.hint === undefined ? '' : `→ ${error.hint}\n`}`)
    process.exit(1)
  }
}
if (json) process.stdout.write(`${JSON.stringify({ figures }, null, 2)}\n`)
