/** What is shipped runs from a folder where there is nothing but itself. */
import { execFile, spawn } from 'node:child_process'
import { cp, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { VERSION } from '@tributary/runtime'
import { answers, freePort, repositoryFolder } from '@tributary/stack'
import { beforeAll, describe, expect, test } from 'vitest'
import { until } from './harness/run-tributary.ts'

const run = promisify(execFile)
let folder: string

beforeAll(async () => {
  await run(process.execPath, ['--import', 'tsx', join(repositoryFolder, 'cli', 'build.ts')], { cwd: repositoryFolder })
  folder = await mkdtemp(join(tmpdir(), 'tributary-bundle-'))
  await cp(join(repositoryFolder, 'dist'), folder, { recursive: true })
}, 120_000)

/** Starts a bundle, waits for its admin or web page, ends it with SIGTERM. @returns exit code and log */
async function startAndStop(
  program: string,
  args: readonly string[],
  url: string,
): Promise<{ code: number | null; log: string }> {
  const child = spawn(process.execPath, [join(folder, program), ...args], { cwd: folder })
  let log = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      log += chunk
    })
  const code = new Promise<number | null>((resolve) => child.on('close', resolve))
  try {
    await until(() => answers(url) || child.exitCode !== null, `${program} answers at ${url}`)
  } finally {
    child.kill('SIGTERM')
  }
  return { code: await code, log }
}

async function agentConfig(): Promise<{ file: string; admin: number }> {
  const admin = await freePort()
  const file = join(folder, `agent-${admin}.yaml`)
  await writeFile(
    file,
    `agent: pi-1
spool: { folder: ${join(folder, `spool-${admin}`)} }
gateway: { url: "mqtt://127.0.0.1:${await freePort()}", password: unused }
admin: { listen: "127.0.0.1:${admin}" }
inputs: [{ name: pump, type: serial, path: ${join(folder, 'no-such-port')}, framing: { type: cobs }, device: pump-1, kind: vibration }]
`,
  )
  return { file, admin }
}

describe('dist/edge-agent', () => {
  test('runs alone, with serialport’s native part', async () => {
    const { file, admin } = await agentConfig()
    const { code, log } = await startAndStop(
      'edge-agent/agent.cjs',
      ['--config', file],
      `http://127.0.0.1:${admin}/healthz`,
    )
    expect(log).toContain('no-such-port')
    expect(log).not.toMatch(/Cannot find|native build/)
    expect(code).toBe(0)
  })
})

describe('dist/tributary', () => {
  test('knows its version and every command', async () => {
    const { stdout } = await run(process.execPath, [join(folder, 'tributary', 'tributary.mjs'), '--version'])
    expect(stdout.trim()).toBe(VERSION)
    for (const command of [
      'agent',
      'gateway',
      'site-view',
      'processor',
      'simulate',
      'viewer',
      'check',
      'status',
      'ledger',
      'dlq',
      'spool',
    ])
      expect(
        (await run(process.execPath, [join(folder, 'tributary', 'tributary.mjs'), command, '--help'])).stdout,
      ).toContain(`Usage: tributary ${command}`)
  })
  test('agent, simulator and viewer find what they need beside them', async () => {
    const { file, admin } = await agentConfig()
    const agent = await startAndStop(
      'tributary/tributary.mjs',
      ['agent', '--config', file],
      `http://127.0.0.1:${admin}/healthz`,
    )
    expect([agent.code, agent.log]).toEqual([0, expect.stringContaining('no-such-port')])
    expect(agent.log).not.toContain('Cannot find')

    const port = await freePort()
    const simulator = await startAndStop(
      'tributary/tributary.mjs',
      [
        'simulate',
        '--scenario',
        'mqtt-only',
        '--data-dir',
        join(folder, 'simulator'),
        '--mqtt-port',
        '0',
        '--admin-port',
        String(port),
      ],
      `http://127.0.0.1:${port}/readyz`,
    )
    expect(simulator.log).toContain('devices measure')

    const page = await freePort()
    const viewer = await startAndStop(
      'tributary/tributary.mjs',
      ['viewer', '--port', String(page)],
      `http://127.0.0.1:${page}/d/tributary-fleet`,
    )
    expect([viewer.code, viewer.log]).toEqual([0, expect.stringContaining('dashboards')])
  })

  test('the site view says what to install, since Node-RED is not in it', async () => {
    const file = join(folder, 'gateway.yaml')
    const siteFolder = join(folder, 'site')
    await writeFile(
      file,
      `gateway: gw-1
site: workshop
mqtt: { listen: "127.0.0.1:0" }
credentials_file: agents.passwd
nats: { url: "nats://127.0.0.1:1" }
spool: { folder: spool }
site_view: { folder: ${siteFolder} }
`,
    )
    const program = join(folder, 'tributary', 'tributary.mjs')
    const ended = await run(process.execPath, [program, 'site-view', '--config', file]).catch((error) => error)
    expect(ended.code).toBe(2)
    expect(ended.stderr).toContain('Node-RED is not installed')
    expect(ended.stderr).toContain(`npm install --prefix ${siteFolder} 'node-red@`)
  })
})
