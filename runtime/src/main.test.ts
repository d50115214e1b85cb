import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const fixture = fileURLToPath(new URL('wait-for-signal.fixture.ts', import.meta.url))

/** Runs the fixture; each signal is sent when its word has been said. */
async function runProcess(behaviour: string, signals: readonly { after: string; send: NodeJS.Signals }[] = []) {
  const child = spawn(process.execPath, ['--import', 'tsx', fixture, behaviour], { stdio: ['ignore', 'pipe', 'pipe'] })
  const left = [...signals]
  let said = ''
  let logged = ''
  child.stdout.on('data', (chunk) => {
    said += chunk
    while (left[0] && said.includes(`${left[0].after}\n`)) child.kill(left.shift()?.send)
  })
  child.stderr.on('data', (chunk) => {
    logged += chunk
  })
  const exitCode = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { exitCode, said: said.trim().split('\n'), logged }
}

it('runs until SIGTERM, drains, and exits with 0', async () => {
  const { exitCode, said, logged } = await runProcess('good', [{ after: 'started', send: 'SIGTERM' }])
  expect({ exitCode, said }).toEqual({ exitCode: 0, said: ['started', 'stopping', 'stopped in time'] })
  expect(logged).toContain('"signal":"SIGTERM"')
})

it('hurries at a second signal', async () => {
  const { exitCode, said } = await runProcess('slow-stop', [
    { after: 'started', send: 'SIGINT' },
    { after: 'stopping', send: 'SIGINT' },
  ])
  expect({ exitCode, said }).toEqual({ exitCode: 0, said: ['started', 'stopping', 'stopped a second signal'] })
})

it('gives draining a deadline', async () => {
  const { exitCode, said } = await runProcess('endless-stop', [{ after: 'started', send: 'SIGTERM' }])
  expect({ exitCode, said: said.at(-1) }).toEqual({ exitCode: 0, said: 'stopped draining took over 200 ms' })
})

it('can be stopped while it starts', async () => {
  const { exitCode, said } = await runProcess('slow-start', [{ after: 'starting', send: 'SIGTERM' }])
  expect({ exitCode, said }).toEqual({ exitCode: 0, said: ['starting'] })
})

it('exits with 2 and says what to do when a person must mend something, with 1 and a stack otherwise', async () => {
  const misconfigured = await runProcess('misconfigured')
  expect(misconfigured.exitCode).toBe(2)
  expect(JSON.parse(misconfigured.logged)).toMatchObject({
    level: 'fatal',
    msg: 'the port is taken',
    hint: 'choose another',
  })
  expect(misconfigured.logged).not.toContain('stack')
  const broken = await runProcess('broken')
  expect(broken.exitCode).toBe(1)
  expect(JSON.parse(broken.logged)).toMatchObject({
    level: 'fatal',
    msg: 'unexpected',
    err: { stack: expect.stringContaining('Error: unexpected') },
  })
})
