import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createLogger, systemClock } from '@tributary/runtime'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createCredentials, hashPassword, parseCredentials, setPassword } from './credentials.ts'
import { temporaryFolder } from './testing.ts'

const log = createLogger('gateway', 'silent')
const bytes = (text: string) => Buffer.from(text)
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let file: string
beforeEach(async () => {
  folder = await temporaryFolder()
  file = `${folder.path}/agents.passwd`
})
afterEach(() => folder.remove())

async function credentialsOf(lines: string) {
  await writeFile(file, lines)
  const credentials = createCredentials(file, { log })
  await credentials.reload()
  return credentials
}

test('the right password is taken, again and again; others are not', async () => {
  const credentials = await credentialsOf(
    `# agents\n\nagent-1:${hashPassword('one')}\nagent-2:${hashPassword('two')}\n`,
  )
  expect(credentials.size).toBe(2)
  expect(await credentials.verify('agent-1', bytes('one'))).toBe('ok')
  expect(await credentials.verify('agent-1', bytes('one'))).toBe('ok')
  for (const [agent, password] of [
    ['agent-1', 'two'],
    ['agent-1', ''],
    ['agent-2', 'one'],
    ['agent-3', 'one'],
    ['agent-1', 'o'.repeat(5_000)],
  ] as const)
    expect(await credentials.verify(agent, bytes(password)), `${agent} ${password.slice(0, 9)}`).toBe('refused')
})

test('the same password has another hash each time', () => {
  expect(hashPassword('one')).not.toBe(hashPassword('one'))
  expect(() => hashPassword('')).toThrow(/empty/)
})

test('a new credentials file is for its owner alone, and an old one keeps its mode', async () => {
  await rm(file, { force: true })
  await setPassword(file, 'agent-1', 'one')
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  await chmod(file, 0o640)
  await setPassword(file, 'agent-1', 'two')
  expect((await stat(file)).mode & 0o777).toBe(0o640)
})

test('setPassword adds a line, changes a line, and leaves the others', async () => {
  await setPassword(file, 'agent-1', 'one')
  await setPassword(file, 'agent-2', 'two')
  await writeFile(file, `# ours\n${await readFile(file, 'utf8')}`)
  await setPassword(file, 'agent-1', 'changed')
  const text = await readFile(file, 'utf8')
  expect(text.split('\n').map((line) => line.split(':')[0])).toEqual(['# ours', 'agent-1', 'agent-2', ''])
  const credentials = await credentialsOf(text)
  expect(await credentials.verify('agent-1', bytes('changed'))).toBe('ok')
  expect(await credentials.verify('agent-1', bytes('one'))).toBe('refused')
  expect(await credentials.verify('agent-2', bytes('two'))).toBe('ok')
  await expect(setPassword(file, 'Agent 1', 'x')).rejects.toThrow(/not a name/)
})

test('lines with mistakes are left out and named, the others hold', () => {
  const good = hashPassword('one')
  const { agents, mistakes } = parseCredentials(
    [
      'agent-1:plain',
      `Agent 2:${good}`,
      'no colon',
      `agent-3:${good.replace('$16384$', '$16383$')}`,
      `agent-4:${good.replace('$16384$', '$1073741824$')}`,
      `agent-5:${good}`,
      `agent-5:${good}`,
      `agent-6:${good.slice(0, -12)}`,
    ].join('\n'),
  )
  expect([...agents.keys()]).toEqual(['agent-5'])
  expect(mistakes.map((mistake) => mistake.split(':')[0])).toEqual([
    'line 1',
    'line 2',
    'line 3',
    'line 4',
    'line 5',
    'line 7',
    'line 8',
  ])
})

test('a missing file says what to do', async () => {
  await expect(createCredentials(file, { log }).reload()).rejects.toMatchObject({
    name: 'UserError',
    message: expect.stringContaining('does not exist'),
    hint: expect.stringContaining('tributary gateway passwd'),
  })
})

describe('when the file changes', () => {
  test('new agents come in, and those who changed or went are named', async () => {
    const kept = `agent-1:${hashPassword('one')}\n`
    const credentials = await credentialsOf(`${kept}agent-2:${hashPassword('two')}\nagent-3:${hashPassword('three')}\n`)
    const revoked: string[] = []
    credentials.onRevoked((agents) => revoked.push(...agents))
    expect(await credentials.verify('agent-2', bytes('two'))).toBe('ok')
    await writeFile(file, `${kept}agent-2:${hashPassword('new')}\nagent-4:${hashPassword('four')}\n`)
    await credentials.reload()
    expect(revoked).toEqual(['agent-2', 'agent-3'])
    expect(await credentials.verify('agent-2', bytes('two'))).toBe('refused')
    expect(await credentials.verify('agent-2', bytes('new'))).toBe('ok')
    expect(await credentials.verify('agent-3', bytes('three'))).toBe('refused')
    expect(await credentials.verify('agent-4', bytes('four'))).toBe('ok')
  })

  test('a file that went away leaves the agents as they were', async () => {
    const credentials = await credentialsOf(`agent-1:${hashPassword('one')}\n`)
    await rm(file)
    await credentials.reload()
    expect(await credentials.verify('agent-1', bytes('one'))).toBe('ok')
  })
})

test('a storm of wrong passwords is refused at once beyond a limit, and holds up nobody who was verified before', async () => {
  const credentials = await credentialsOf(`agent-1:${hashPassword('one')}\n`)
  await credentials.verify('agent-1', bytes('one'))
  const storm = Array.from({ length: 80 }, (_, i) => credentials.verify('agent-1', bytes(`wrong ${i}`)))
  const startedMs = systemClock.monotonicMs()
  expect(await credentials.verify('agent-1', bytes('one'))).toBe('ok')
  expect(systemClock.monotonicMs() - startedMs).toBeLessThan(500)
  const verdicts = await Promise.all(storm)
  expect(verdicts.filter((verdict) => verdict === 'busy')).toHaveLength(16)
  expect(verdicts.filter((verdict) => verdict === 'refused')).toHaveLength(64)
})
