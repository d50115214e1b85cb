/** What we agreed on, as a test: the style that no linter knows. */
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { describe, expect, test } from 'vitest'

const LINES_MAX = 400
/** The folder may be a copy without git, on a machine without git. */
const tracked = readdirSync('.', { recursive: true, encoding: 'utf8' }).filter(
  (file) => !/(^|\/)(node_modules|dist|\.git|\.tributary)(\/|$)/.test(file),
)
/** Of a file: a folder at the top, but for the one that stands in another. */
const packageOf = (file: string) => /^(gateway\/node-red|[^/]+)/.exec(file)?.[0] ?? ''
const sources = tracked.filter(
  (file) =>
    /^([a-z0-9-]+|gateway\/node-red)\/(src|viewer|harness)\/.*\.ts$/.test(file) || /^(e2e|bench)\/.*\.ts$/.test(file),
)
const product = sources.filter(
  (file) => !file.endsWith('.test.ts') && !/^(e2e|bench)\//.test(file) && !/(\/testing|-harness)\.ts$/.test(file),
)
const lines = (file: string) => readFileSync(file, 'utf8').split('\n')

/** Every line of the files that the pattern finds, as `file:line text`. */
function found(files: readonly string[], pattern: RegExp): string[] {
  return files.flatMap((file) =>
    lines(file).flatMap((text, i) => (pattern.test(text) ? [`${file}:${i + 1} ${text.trim()}`] : [])),
  )
}

const MAY_IMPORT: Record<string, readonly string[]> = {
  protocol: [],
  runtime: [],
  spool: ['runtime'],
  'edge-agent': ['protocol', 'runtime', 'spool'],
  gateway: ['protocol', 'runtime', 'spool'],
  // Of the gateway the types alone.
  'gateway/node-red': ['protocol', 'runtime', 'gateway'],
  'cloud-processor': ['protocol', 'runtime'],
  dashboards: ['protocol', 'runtime'],
  'firmware-sim': ['protocol', 'runtime'],
  stack: ['protocol', 'runtime', 'firmware-sim', 'gateway', 'cloud-processor'],
}

describe('imports', () => {
  for (const [name, allowed] of Object.entries(MAY_IMPORT))
    test(`${name} imports only ${allowed.join(', ') || 'nothing of ours'}`, () => {
      const others = found(
        product.filter((file) => packageOf(file) === name),
        /from '@tributary\//,
      ).filter((line) => ![...allowed, name].some((other) => line.includes(`'@tributary/${other}'`)))
      expect(others).toEqual([])
    })

  test('nothing imports cli, e2e or bench', () => {
    expect(
      found(
        product.filter((file) => !file.startsWith('cli/')),
        /from '@tributary\/(cli|e2e|bench)/,
      ),
    ).toEqual([])
  })

  test('a package has one door: no deep imports, no relative imports across packages', () => {
    expect(found(sources, /from '@tributary\/[a-z-]+\/(?!(testing|build)')/)).toEqual([])
    const across = sources.flatMap((file) =>
      found([file], /from '(\.\.\/)+/).filter((line) => {
        const depth = (/from '((\.\.\/)+)/.exec(line)?.[1]?.length ?? 0) / 3
        return depth >= file.split('/').length - packageOf(file).split('/').length
      }),
    )
    expect(across).toEqual([])
  })

  test('every import of a package is declared in package.json', () => {
    const undeclared = product.flatMap((file) => {
      const manifest = JSON.parse(readFileSync(`${packageOf(file)}/package.json`, 'utf8')) as {
        dependencies?: Record<string, string>
        devDependencies?: Record<string, string>
      }
      const declared = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })
      return found([file], /from '[^.]/).filter((line) => {
        const name = /from '((?:@[^/']+\/)?[^/']+)/.exec(line)?.[1] ?? ''
        return !name.startsWith('node:') && !declared.includes(name) && name !== `@tributary/${packageOf(file)}`
      })
    })
    expect(undeclared).toEqual([])
  })
})

describe('style', () => {
  test('time is handed in: Date.now, new Date() and timers stand in the clock alone', () => {
    const files = product.filter((file) => file !== 'runtime/src/clock.ts' && !file.startsWith('dashboards/viewer/'))
    expect(found(files, /\b(Date\.now\(|new Date\(\)|performance\.now\(|setTimeout\(|setInterval\()/)).toEqual([])
  })

  test('files are named after one concept, in kebab-case', () => {
    const bad = sources.filter(
      (file) =>
        !/^[a-z0-9]+([-.][a-z0-9]+)*\.ts$/.test(basename(file)) ||
        /(^|-)(utils?|common|helpers?|manager|types)(-|\.)/.test(basename(file)),
    )
    expect(bad).toEqual([])
  })

  test(`no file of the product is longer than ${LINES_MAX} lines`, () => {
    expect(
      product
        .map((file) => `${file} ${lines(file).length}`)
        .filter((line) => Number(line.split(' ')[1]) > LINES_MAX + 1),
    ).toEqual([])
  })

  test('named exports only, no enums, no namespaces', () => {
    expect(found(product, /^export (default|enum|namespace)\b/)).toEqual([])
  })

  test('no test is skipped, left to do, or alone', () => {
    const tests = tracked.filter((file) => file.endsWith('.test.ts') && file !== 'tidy.test.ts')
    expect(found(tests, /\b(it|test|describe)\.(skip|todo|only)\b|expect\(true\)/)).toEqual([])
  })

  test('the version is the one of package.json', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    expect(readFileSync('runtime/src/version.ts', 'utf8')).toContain(`VERSION = '${version}'`)
  })

  test('README has at most 120 lines', () => {
    expect(lines('README.md').length).toBeLessThanOrEqual(121)
  })
})
