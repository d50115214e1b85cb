import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createLogger, systemClock } from '@tributary/runtime'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readContractSet } from './contract-set.ts'
import { createContractSource } from './contract-source.ts'

const SHIPPED = new URL('../../contracts', import.meta.url).pathname
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tributary-contracts-'))
  await cp(SHIPPED, folder, { recursive: true })
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const change = async (file: string, edit: (text: string) => string) =>
  writeFile(join(folder, file), edit(await readFile(join(folder, file), 'utf8')))

function source(
  accept: (kinds: string[]) => void | Promise<void> = () => undefined,
  checkEveryMs = 1_000,
  alertsFile?: string,
) {
  const log = createLogger('test', 'silent')
  const contracts = createContractSource(folder, {
    clock: systemClock,
    log,
    checkEveryMs,
    alertsFile,
    accept: (set) => accept([...set.contracts.keys()]),
  })
  return { contracts }
}

test('the version is that of what is said: comments and order change nothing, a limit does', async () => {
  const before = (await readContractSet(folder)).version
  expect(before).toMatch(/^[0-9a-f]{12}$/)
  await change(
    'tank.yaml',
    (text) =>
      `# a comment\n${text.replace(/^description:.*\n/m, '')}description: Level of a liquid in a tank, and the pump that fills it.\n`,
  )
  expect((await readContractSet(folder)).version).toBe(before)
  await change('tank.yaml', (text) => text.replace('range: [0, 100]', 'range: [0, 101]'))
  expect((await readContractSet(folder)).version).not.toBe(before)
})

test('a broken file is refused with its place; the contracts read before go on, and the mended ones are taken', async () => {
  const { contracts } = source()
  await contracts.load()
  const { version } = contracts.current
  await change('tank.yaml', (text) => text.replace('range: [0, 100]', 'range: [100, 0]'))
  await contracts.reload()
  expect(contracts).toMatchObject({ reloads: 0, refusals: 1 })
  expect(contracts.fault).toContain('fields.level_percent.range')
  expect(contracts.current.version).toBe(version)
  await change('tank.yaml', (text) => text.replace('range: [100, 0]', 'range: [0, 190]'))
  await contracts.reload()
  expect(contracts).toMatchObject({ reloads: 1, refusals: 1, fault: undefined })
  expect(contracts.current.version).not.toBe(version)
})

test('rules that are broken, torn or gone are refused, counted and said; those read before stay, and mended ones are taken', async () => {
  const alertsFile = join(folder, '..', `${basename(folder)}-alerts.yaml`)
  const good = 'rules: [{ name: hot, for: 5s }]\n'
  await writeFile(alertsFile, good)
  try {
    const { contracts } = source(undefined, undefined, alertsFile)
    await contracts.load()
    const { version } = contracts.current
    const broken: [text: string | undefined, fault: string][] = [
      ['rules: [{ name: hot, for: soon }]\n', 'rules[0].for'],
      ['rules: [{ name: hot }, { name: hot }]\n', 'must be a name that no other rule has'],
      ['rules: [{ name: ho', 'not valid YAML'],
      ['rules: hot\n', 'rules: must be an array'],
      [undefined, 'the file does not exist'],
    ]
    for (const [i, [text, fault]] of broken.entries()) {
      if (text === undefined) await rm(alertsFile)
      else await writeFile(alertsFile, text)
      await contracts.reload()
      expect(contracts).toMatchObject({ reloads: 0, refusals: i + 1, fault: expect.stringContaining(fault) })
      expect(contracts.current).toMatchObject({ version, rules: { rules: [{ name: 'hot', forMs: 5_000 }] } })
    }
    await writeFile(alertsFile, good.replace('5s', '6s'))
    await contracts.reload()
    expect(contracts).toMatchObject({ reloads: 1, refusals: broken.length, fault: undefined })
    expect(contracts.current.rules.rules).toMatchObject([{ name: 'hot', forMs: 6_000 }])
  } finally {
    await rm(alertsFile, { force: true })
  }
})

test('what the config cannot work with is refused like a broken file', async () => {
  const { contracts } = source((kinds) => {
    if (!kinds.includes('tank')) throw new Error('a rule watches tank')
  })
  await contracts.load()
  await rm(join(folder, 'tank.yaml'))
  await contracts.reload()
  expect(contracts.fault).toBe('a rule watches tank')
  expect(contracts.current.contracts.has('tank')).toBe(true)
})

test('a folder that is gone is refused, too', async () => {
  const { contracts } = source()
  await contracts.load()
  await rm(folder, { recursive: true })
  await contracts.reload()
  expect(contracts.fault).toContain('the folder does not exist')
  expect(contracts.current.contracts.size).toBeGreaterThan(5)
})

test('of two reloads at once the later one counts, however long the former takes', async () => {
  let slow: (() => void) | undefined
  const { contracts } = source((kinds) => {
    if (kinds.includes('tank') || slow) return
    return new Promise((resolve) => {
      slow = resolve
    })
  })
  await contracts.load()
  await rm(join(folder, 'tank.yaml'))
  const first = contracts.reload()
  await expect.poll(() => slow).toBeDefined()
  await cp(join(SHIPPED, 'tank.yaml'), join(folder, 'tank.yaml'))
  const second = contracts.reload()
  await systemClock.sleep(50)
  slow?.()
  await Promise.all([first, second])
  expect(contracts.current.contracts.has('tank')).toBe(true)
})

test('watching: a folder that was being written is taken as it ended', async () => {
  const stop = new AbortController()
  const { contracts } = source(undefined, 100)
  await contracts.load()
  const watching = contracts.watch(stop.signal)
  for (let high = 180; high <= 190; high++) {
    await change('tank.yaml', (text) => text.replace(/range: \[0, \d+\]/, `range: [0, ${high}]`))
    await systemClock.sleep(10)
  }
  const { version } = await readContractSet(folder)
  await expect.poll(() => contracts.current.version, { timeout: 10_000, interval: 20 }).toBe(version)
  const level = contracts.current.contracts.get('tank')?.fields['level_percent']
  expect(level).toMatchObject({ range: [0, 190] })
  stop.abort()
  await watching
})
