/**
 * `npm run bench [-- NAME …]`: runs the benchmarks named, or all. Each prints its figures and checks its result. Those that take
 * minutes do so only when they are named, or with `--full`.
 */
import { readdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { messageOf, systemClock } from '@tributary/runtime'
import { type Figure, figureText, type Report } from './report.ts'

const PROGRESS_MS = 5_000

const folder = dirname(fileURLToPath(import.meta.url))
const all = (await readdir(folder))
  .filter((file) => file.endsWith('.bench.ts'))
  .map((file) => file.slice(0, -'.bench.ts'.length))
  .sort()
const HELP = `usage: npm run bench [-- [${all.join('|')}] … [--full] [--minutes N] [--profile F] [--json]]

  --full         the long parts too (those of a benchmark that is named are run anyway)
  --minutes N    how long the outage in "edge" lasts (10)
  --profile F    "end-to-end" and "peers": CPU profiles of agent, gateway and processor into this folder (costs some speed)
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

const { names, full, minutes, profile, json, help } = readArguments()
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
  await run(report)
}
if (json) process.stdout.write(`${JSON.stringify({ figures }, null, 2)}\n`)
