/** There is no Grafana to be had from the registries, so a program that stands in for it on PATH shows what a real one would be given. */
import { chmod, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { freePort } from './free-port.ts'
import { createGrafanaServer, findGrafana } from './grafana-server.ts'

const path = process.env['PATH']
afterEach(() => {
  process.env['PATH'] = path
})

async function standIn(name: string): Promise<{ folder: string; seen: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-grafana-'))
  const seen = join(folder, 'seen.json')
  await mkdir(join(folder, 'bin'))
  await mkdir(join(folder, 'conf'))
  await mkdir(join(folder, 'logs'))
  await writeFile(join(folder, 'conf', 'defaults.ini'), '')
  const script = `#!${process.execPath}
const { writeFileSync } = require('node:fs')
writeFileSync(${JSON.stringify(seen)}, JSON.stringify({ arguments: process.argv.slice(2), environment: process.env }))
require('node:http').createServer((q, r) => r.writeHead(q.url === '/api/health' ? 200 : 404).end('{}')).listen(process.env.GF_SERVER_HTTP_PORT, process.env.GF_SERVER_HTTP_ADDR)
`
  await writeFile(join(folder, 'bin', name), script)
  await chmod(join(folder, 'bin', name), 0o755)
  process.env['PATH'] = join(folder, 'bin')
  return { folder, seen }
}

describe('Grafana on PATH', () => {
  test('without one there is none', async () => {
    process.env['PATH'] = await mkdtemp(join(tmpdir(), 'tributary-empty-'))
    expect(await findGrafana()).toBeUndefined()
  })

  for (const [name, first] of [
    ['grafana-server', []],
    ['grafana', ['server']],
  ] as const)
    test(`${name} is given its home, a loopback port and provisioning whose variables are all set`, async () => {
      const { folder, seen } = await standIn(name)
      const found = await findGrafana()
      if (!found) throw new Error('it was not found')
      const grafana = createGrafanaServer(found, folder, await freePort(), 'http://127.0.0.1:8086')
      await grafana.start()
      await grafana.stop()
      const { arguments: given, environment } = JSON.parse(await readFile(seen, 'utf8')) as {
        arguments: string[]
        environment: Record<string, string>
      }
      expect(given).toEqual([...first, '--homepath', join(folder, 'bin', '..')])
      expect(environment['GF_SERVER_HTTP_ADDR']).toBe('127.0.0.1')
      const files = ['datasources/tributary.yaml', 'dashboards/tributary.yaml', 'alerting/contact-points.yaml']
      for (const file of files) {
        const text = await readFile(join(environment['GF_PATHS_PROVISIONING'] as string, file), 'utf8')
        expect(parse(text)).toHaveProperty('apiVersion', 1)
        const used = [...text.replace(/^#.*$/gm, '').matchAll(/\$\{?(\w+)/g)].map((m) => m[1] as string)
        expect(used.length).toBeGreaterThan(0)
        for (const variable of used) expect(environment, `${file} uses ${variable}`).toHaveProperty(variable)
      }
    })
})
