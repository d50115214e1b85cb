/**
 * InfluxDB 2.x. Debian has none: the real one is that of `TRIBUTARY_INFLUXD2`, a path of influxd 2.x; without it there is the one on
 * the wire alone, whose answers were recorded from 2.7.12.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createManagedProcess, freePort } from '@tributary/stack'
import { createInfluxQuery } from './influx-query.ts'
import { describeInflux2, type Influx2Target } from './influx2.conformance.ts'
import { startInflux2 } from './influx2-harness.ts'

const program = process.env['TRIBUTARY_INFLUXD2']

describeInflux2('on the wire', async (): Promise<Influx2Target> => {
  const influx = await startInflux2()
  const idOf = (name: string) => influx.buckets.find((bucket) => bucket.name === name)?.id ?? ''
  return {
    ...{
      url: influx.url,
      org: 'works',
      token: 'all-access',
      narrowToken: async () => 'read-write',
      stop: influx.close,
    },
    count: async (database, policy, measurement) =>
      [...(influx.lines.points.get(idOf(`${database}/${policy}`)) ?? new Map()).keys()].filter((key) =>
        key.startsWith(`${measurement},`),
      ).length,
    dropBucket: async (name) => influx.dropBucket(name),
  }
})

if (program !== undefined) describeInflux2(`with ${program}`, () => startReal(program))

async function startReal(path: string): Promise<Influx2Target> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-influx2-'))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const token = 'all-access'
  const org = 'works'
  const server = createManagedProcess({
    name: 'influxd 2',
    program: path,
    arguments: [
      ...['--bolt-path', join(folder, 'influxd.bolt'), '--sqlite-path', join(folder, 'influxd.sqlite')],
      ...['--engine-path', join(folder, 'engine'), '--http-bind-address', `127.0.0.1:${port}`],
      ...['--reporting-disabled', '--log-level', 'warn'],
    ],
    logFile: join(folder, 'influxd.log'),
    isReady: () =>
      fetch(`${url}/health`).then(
        ({ status }) => status === 200,
        () => false,
      ),
  })
  await server.start()
  const api = async (method: string, path: string, json?: object) => {
    const body = json === undefined ? {} : { body: JSON.stringify(json) }
    const response = await fetch(`${url}${path}`, { method, headers: { authorization: `Token ${token}` }, ...body })
    return (response.status === 204 ? {} : await response.json()) as { [key: string]: unknown }
  }
  const setup = await api('POST', '/api/v2/setup', {
    username: 'admin',
    password: 'secret-password',
    org,
    bucket: 'first',
    token,
  })
  const orgID = (setup['org'] as { id: string }).id
  const idOf = async (name: string) =>
    (
      (await api('GET', `/api/v2/buckets?org=${org}&name=${encodeURIComponent(name)}`))['buckets'] as [{ id: string }]
    )[0].id
  return {
    ...{ url, org, token },
    async narrowToken(database) {
      const ids = await Promise.all(['autogen', 'rollup'].map((policy) => idOf(`${database}/${policy}`)))
      const permissions = ids.flatMap((id) =>
        ['read', 'write'].map((action) => ({ action, resource: { type: 'buckets', id, orgID } })),
      )
      return (await api('POST', '/api/v2/authorizations', { orgID, permissions }))['token'] as string
    },
    async count(database, policy, measurement) {
      const query = createInfluxQuery({ url, token, org, database })
      // The default policy without its name: that is what a mapping is for.
      const from = policy === 'autogen' ? `"${measurement}"` : `"${policy}"."${measurement}"`
      const [series] = await query(`SELECT count("value") FROM ${from}`).finally(() => query.close())
      return Number(series?.values[0]?.[1] ?? 0)
    },
    dropBucket: async (name) => void (await api('DELETE', `/api/v2/buckets/${await idOf(name)}`)),
    async stop() {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
