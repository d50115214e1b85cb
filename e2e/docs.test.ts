/** What the documentation names exists: files, headings, commands and their options, scripts, units, messages, panels, metrics. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createProgram } from '@tributary/cli'
import { repositoryFolder } from '@tributary/stack'
import { describe, expect, test } from 'vitest'
import { runTributary } from './harness/run-tributary.ts'

const README_LINES_MAX = 120
/** The folder may be a copy without git, on a machine without git. */
const tracked = readdirSync(repositoryFolder, { recursive: true, encoding: 'utf8' }).filter(
  (file) => !/(^|\/)(node_modules|dist|\.git|\.tributary)(\/|$)/.test(file),
)
const read = (file: string) => readFileSync(join(repositoryFolder, file), 'utf8')
const pages = tracked.filter((file) => file.endsWith('.md'))
/** For people who use it; the DESIGN.md of a package names its own files relative to itself. */
const manuals = pages.filter((file) => !file.endsWith('DESIGN.md') && !file.startsWith('docs/adr/'))
const sources = tracked.filter((file) => /\.ts$/.test(file) && !/\.test\.ts$/.test(file)).map(read)

/** What stands in a page as code: spans, and the lines of blocks. */
function codeOf(text: string): string[] {
  const blocks = [...text.matchAll(/^```\w*\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) => block.split('\n'))
  const spans = [...text.replace(/^```\w*\n[\s\S]*?^```/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span)
  return [...blocks, ...spans]
}

/** As GitHub makes it from a heading. */
const anchorOf = (heading: string) =>
  heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
const anchorsOf = (text: string) => [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading))

/** The findings of every page, each with the page's name. */
const inEvery = (files: readonly string[], find: (text: string, file: string) => readonly string[]) =>
  files.flatMap((file) => find(read(file), file).map((finding) => `${file}: ${finding}`))

describe('links', () => {
  test('lead to a file that is there, and to a heading that it has', () => {
    const broken = inEvery(pages, (text, file) =>
      [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
        if (/^[a-z]+:/.test(link)) return []
        const [path = '', anchor] = link.split('#')
        const target = path === '' ? file : join(dirname(file), path)
        if (!existsSync(join(repositoryFolder, target))) return [`there is no ${link}`]
        return anchor !== undefined && !anchorsOf(read(target)).includes(anchor) ? [`no heading for ${link}`] : []
      }),
    )
    expect(broken).toEqual([])
  })

  test('files that are named exist', () => {
    const folders = new Set(tracked.filter((file) => file.includes('/')).map((file) => file.split('/')[0]))
    const absent = inEvery(manuals, (text) =>
      codeOf(text)
        .flatMap(
          (code) => code.match(/(?<![\w/.])[\w.-]+\/[\w./-]+\.(?:ts|mjs|md|ya?ml|json|conf|service|rules)\b/g) ?? [],
        )
        .filter((path) => folders.has(path.split('/')[0] as string) && !existsSync(join(repositoryFolder, path))),
    )
    expect(absent).toEqual([])
  })

  test('source files that a design names are in the repository', () => {
    const designs = pages.filter((file) => !manuals.includes(file))
    const absent = inEvery(designs, (text) =>
      codeOf(text).filter(
        (code) =>
          /^[\w./-]+\.(ts|mjs|proto)$/.test(code) &&
          !tracked.some((file) => `/${file}`.endsWith(`/${code.replace('./', '')}`)),
      ),
    )
    expect(designs.length).toBeGreaterThan(5)
    expect(absent).toEqual([])
  })
})

describe('commands', () => {
  test('`npx tributary` runs in a checkout, in any folder of it', () => {
    const version = execFileSync('npx', ['tributary', '--version'], {
      cwd: join(repositoryFolder, 'docs'),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    expect(version.trim()).toBe((JSON.parse(read('package.json')) as { version: string }).version)
  })

  test('`tributary …` is a command, with options that it has', () => {
    const program = createProgram()
    const named = (command: typeof program, name: string) => command.commands.find((one) => one.name() === name)
    let checked = 0
    const wrong: string[] = []
    for (const page of pages)
      for (const code of codeOf(read(page))) {
        const [, line = ''] = /(?:^|npx |; |\| )tributary ([a-z][^#|&;]*)/.exec(code) ?? []
        const [name = '', second = '', ...rest] = line.trim().split(/\s+/)
        if (name === '' || name === 'help') continue // which every program of commander has
        for (const each of name.split('|')) {
          const say = (what: string) => wrong.push(`${page}: tributary ${line.trim()}: ${what}`)
          const main = named(program, each)
          if (main === undefined) {
            say(`there is no command ${each}`)
            continue
          }
          checked += 1
          let command = main
          for (const word of [second, ...rest]) command = named(command, word) ?? command
          if (main.commands.length > 0 && command === main && /^[a-z]/.test(second)) say(`${each} has no ${second}`)
          const text = command.helpInformation()
          for (const option of [second, ...rest].flatMap((word) => /^--?[a-z][a-z-]*/.exec(word)?.[0] ?? []))
            if (!new RegExp(`(^|[\\s,])${option}\\b`, 'm').test(text)) say(`there is no ${option}`)
        }
      }
    expect(wrong).toEqual([])
    expect(checked).toBeGreaterThan(50)
  })

  test('`npm run …` is a script, `npm run bench -- …` a benchmark', () => {
    const scriptsOf = (folder: string) =>
      Object.keys(
        (JSON.parse(read(join(folder, 'package.json'))) as { scripts?: Record<string, string> }).scripts ?? {},
      )
    const benchmarks = readdirSync(join(repositoryFolder, 'bench')).map((file) => file.replace('.bench.ts', ''))
    const wrong = inEvery(pages, (text) =>
      codeOf(text).flatMap((code) =>
        [...code.matchAll(/\bnpm (?:run ([\w:|-]+)|(start|test))((?: -- | -w )[\w@/ |-]+)?/g)].flatMap(
          ([all, script, short, rest = '']) => {
            const folder = /-w @tributary\/([\w-]+)/.exec(rest)?.[1] ?? ''
            const names = (script ?? short ?? '').split('|')
            const named = script === 'bench' ? (/ -- ([a-z|-]*[a-z])/.exec(rest)?.[1]?.split('|') ?? []) : []
            return names.every((name) => scriptsOf(folder).includes(name)) && named.every((b) => benchmarks.includes(b))
              ? []
              : [all]
          },
        ),
      ),
    )
    expect(wrong).toEqual([])
  })

  test('units of systemd are shipped', () => {
    const units = new Set(tracked.filter((file) => file.endsWith('.service')).map((file) => file.split('/').at(-1)))
    const absent = inEvery(manuals, (text) =>
      codeOf(text)
        .filter((code) => /\b(systemctl|journalctl)\b/.test(code))
        .flatMap((code) => code.match(/\btributary-[a-z]+\b/g) ?? [])
        .filter((unit) => !units.has(`${unit}.service`)),
    )
    expect(absent).toEqual([])
  })
})

describe('example configs', () => {
  const named = [...new Set(manuals.flatMap((page) => read(page).match(/[\w-]+\.example\.yaml/g) ?? []))]
  test('that are named exist', () => {
    expect(named.length).toBeGreaterThanOrEqual(3)
    expect(named.filter((name) => !tracked.some((file) => file.endsWith(`/${name}`)))).toEqual([])
  })

  test('and everything else that is shipped pass `tributary check`', { timeout: 60_000 }, async () => {
    const files = tracked.filter((file) =>
      /\.example\.yaml$|^contracts\/|^firmware-sim\/scenarios\/.*\.yaml$|^e2e\/scenarios\//.test(file),
    )
    const { code, stdout } = await runTributary(['check', ...files.map((file) => join(repositoryFolder, file))], {
      AGENT_PASSWORD: 'a-password',
    })
    expect(code, stdout).toBe(0)
  })
})

describe('the runbook', () => {
  const runbook = read('docs/runbook.md')

  test('has at most 220 lines', () => {
    expect(runbook.trimEnd().split('\n').length).toBeLessThanOrEqual(220)
  })

  test('quotes messages that the program has', () => {
    const quoted = codeOf(runbook).flatMap((code) => /^"(.*)"$/.exec(code)?.[1] ?? [])
    const has = (message: string) =>
      sources.some((text) =>
        message
          .split('…')
          .map((part) => part.trim())
          .every((part) => text.replaceAll('\\', '').includes(part)),
      )
    expect(quoted.length).toBeGreaterThan(30)
    expect(quoted.filter((message) => !has(message))).toEqual([])
  })

  test('names metrics and panels that are there', () => {
    const metrics = read('docs/metrics.md')
    const names = runbook.match(/tributary_\w+/g) ?? []
    expect(names.length).toBeGreaterThan(5)
    expect(names.filter((name) => !metrics.includes(`\`${name}\``))).toEqual([])
    const panels = [...runbook.matchAll(/\*([A-Z][\w ]+) → ([^*]+)\*/g)]
    expect(panels.length).toBeGreaterThan(3)
    const folder = 'dashboards/provisioning/dashboards'
    const files = readdirSync(join(repositoryFolder, folder)).filter((name) => name.endsWith('.json'))
    const dashboards = files.map((name) => JSON.parse(read(`${folder}/${name}`)) as { title: string; panels: object[] })
    const absent = panels.filter(
      ([, title, panel = '']) =>
        !JSON.stringify(dashboards.find((one) => one.title === title)?.panels ?? []).includes(`"title":"${panel}"`),
    )
    expect(absent.map(([all]) => all)).toEqual([])
  })

  test('names reasons of dead letters that the program gives', () => {
    const section = runbook.split(/^## /m).find((text) => text.startsWith('Dead letters')) ?? ''
    const reasons = [...section.matchAll(/^\| \*\*\w+\*\*: ([^|]*)\|/gm)].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`(\w+)`/g)].map(([, reason]) => reason as string),
    )
    expect(reasons.length).toBeGreaterThan(20)
    expect(reasons.filter((reason) => !sources.some((text) => text.includes(`'${reason}'`)))).toEqual([])
  })
})

describe('pages', () => {
  test(`README has at most ${README_LINES_MAX} lines`, () => {
    expect(read('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(README_LINES_MAX)
  })

  test('name no place on one machine', () => {
    const found = inEvery(pages, (text) => text.match(/(?<![\w.])\/(?:work|home|root|Users|tmp)\/\S*/g) ?? [])
    expect(found).toEqual([])
  })
})
