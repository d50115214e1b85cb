import { afterEach, expect, test, vi } from 'vitest'
import { UserError } from './errors.ts'
import { orReportFatal, type Program, runProgram } from './program.ts'

const ran: string[] = []
const program: Program = {
  name: 'tributary-example',
  purpose: 'does something',
  notes: 'SIGHUP does more.\n',
  check: async (configPath) => {
    if (configPath === 'bad.yaml') throw new UserError('bad.yaml: two mistakes', { hint: 'mend them' })
    return `${configPath}: no mistakes`
  },
  run: async (configPath) => {
    ran.push(configPath)
    return 0
  },
}

/** Runs it and catches what it prints. */
async function type(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const printed = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const)
    vi.spyOn(process[stream], 'write').mockImplementation((text) => {
      printed[stream] += String(text)
      return true
    })
  return { code: await runProgram(program, args), ...printed }
}
afterEach(() => {
  vi.restoreAllMocks()
  ran.length = 0
})

test('runs with a config', async () => {
  expect(await type('-c', 'some.yaml')).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(ran).toEqual(['some.yaml'])
})

test('checks a config and does not run', async () => {
  expect(await type('--config', 'some.yaml', '--check')).toMatchObject({ code: 0, stdout: 'some.yaml: no mistakes\n' })
  const stderr = 'bad.yaml: two mistakes\nhint: mend them\n'
  expect(await type('--config', 'bad.yaml', '--check')).toMatchObject({ code: 2, stderr })
  expect(ran).toEqual([])
})

test('helps, tells its version, and says what is missing or unknown', async () => {
  expect(await type('-h')).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/--config FILE[\s\S]*SIGHUP does more/),
  })
  expect(await type('--version')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) })
  expect(await type()).toMatchObject({ code: 2, stderr: expect.stringContaining('--config FILE is missing') })
  expect(await type('--cofnig', 'x')).toMatchObject({ code: 2, stderr: expect.stringContaining("'--cofnig'") })
})

test('what is thrown is reported: 2 when a person must mend something, else 1', async () => {
  const said: unknown[] = []
  const log = () => ({ fatal: (...what: unknown[]) => said.push(what) }) as never
  expect(await orReportFatal(async () => 0, log)).toBe(0)
  expect(await orReportFatal(() => Promise.reject(new UserError('no such port')), log)).toBe(2)
  expect(await orReportFatal(() => Promise.reject(new Error('a mistake of ours')), log)).toBe(1)
  expect(said).toHaveLength(2)
})
