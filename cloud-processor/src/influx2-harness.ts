/** InfluxDB 2.x on the wire, over a store in memory, for tests: management API and writes. The answers are those of influxd 2.7.12. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { systemClock } from '@tributary/runtime'
import { Influx2Lines } from './influx2-lines.ts'

export interface Bucket {
  id: string
  orgID: string
  name: string
  retentionRules: { type: string; everySeconds: number }[]
}
export interface Mapping {
  orgID: string
  bucketID: string
  database: string
  retention_policy: string
  default: boolean
}
export interface WireAnswer {
  readonly status: number
  readonly body?: string
}

export interface Influx2 {
  readonly url: string
  readonly buckets: Bucket[]
  readonly mappings: Mapping[]
  /** Requests of the management API that changed something. */
  posts: number
  readonly lines: Influx2Lines
  /** Paths of the writes. */
  readonly writes: string[]
  /** With its InfluxQL names. */
  dropBucket(name: string): void
  close(): Promise<void>
}

const ORG = { id: '0a1b', name: 'works' }
const error = (status: number, code: string, message: string): WireAnswer => ({
  status,
  body: JSON.stringify({ code, message }),
})
const answer = (status: number, body: unknown): WireAnswer => ({ status, body: JSON.stringify(body) })

/** @param token may do everything; `read-write` may read and write all buckets */
export async function startInflux2(token = 'all-access'): Promise<Influx2> {
  const tokens = new Set([`Token ${token}`, 'Token read-write'])
  const server = createServer((request, response) => void serve(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  let made = 0
  const influx: Influx2 = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    buckets: [],
    mappings: [],
    posts: 0,
    lines: new Influx2Lines(),
    writes: [],
    dropBucket(name) {
      const [bucket] = influx.buckets.splice(
        influx.buckets.findIndex((one) => one.name === name),
        1,
      )
      const rest = influx.mappings.filter(({ bucketID }) => bucketID !== bucket?.id)
      influx.mappings.splice(0, Number.POSITIVE_INFINITY, ...rest)
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, body = '' } = decide(request, await text(request))
    response.writeHead(status, { 'x-influxdb-build': 'OSS', 'x-influxdb-version': 'v2.7.12' }).end(body)
  }

  function decide({ method, url = '', headers }: IncomingMessage, body: string): WireAnswer {
    const { pathname, searchParams } = new URL(url, 'http://localhost')
    if (pathname === '/ping') return { status: 204 }
    if (!tokens.has(headers.authorization ?? '')) return error(401, 'unauthorized', 'unauthorized access')
    const mayManage = headers.authorization === `Token ${token}`
    if (pathname === '/api/v2/write') return write(url, searchParams, body)
    const { org, orgID, ...posted } = (body === '' ? {} : JSON.parse(body)) as Record<string, unknown>
    if (method === 'GET' ? searchParams.get('org') !== ORG.name : org !== ORG.name && orgID !== ORG.id)
      return error(404, 'not found', `organization name "${searchParams.get('org') ?? org}" not found`)
    if (pathname === '/api/v2/orgs') return answer(200, { orgs: mayManage ? [ORG] : [] })
    if (method === 'POST') influx.posts += 1
    if (pathname === '/api/v2/buckets' && method === 'GET') {
      const name = searchParams.get('name')
      const buckets = influx.buckets.filter((bucket) => bucket.name === name)
      return buckets.length === 0 ? error(404, 'not found', `bucket "${name}" not found`) : answer(200, { buckets })
    }
    if (pathname === '/api/v2/buckets' && orgID === undefined)
      return error(400, 'invalid', 'organization id must be provided')
    if (pathname === '/api/v2/buckets' && influx.buckets.some(({ name }) => name === posted['name']))
      return error(422, 'conflict', `bucket with name ${posted['name']} already exists`)
    if (pathname === '/api/v2/buckets') {
      const bucket = { ...posted, orgID, id: `b${made++}` } as Bucket
      influx.buckets.push(bucket)
      return answer(201, bucket)
    }
    if (pathname === '/api/v2/dbrps' && method === 'GET')
      return answer(200, { content: mappingsOf(searchParams.get('db') ?? '') })
    if (pathname === '/api/v2/dbrps') {
      const mapping = { ...posted, orgID: ORG.id } as Mapping
      if (
        influx.mappings.some(
          (one) => one.database === mapping.database && one.retention_policy === mapping.retention_policy,
        )
      )
        return error(422, 'conflict', 'another DBRP mapping with same orgID, db, and rp exists')
      influx.mappings.push(mapping)
      return answer(201, mapping)
    }
    return error(404, 'not found', 'path not found')
  }

  /** Each bucket has a mapping of its own, too, by its name: never the default when the name has a slash. */
  function mappingsOf(database: string): object[] {
    const real = influx.mappings.filter((mapping) => mapping.database === database)
    const virtual = influx.buckets.flatMap(({ id, orgID, name }) => {
      const [of, policy = 'autogen'] = name.split('/')
      if (of !== database || real.some(({ retention_policy }) => retention_policy === policy)) return []
      const isDefault = name === database
      return [{ id, orgID, bucketID: id, database, retention_policy: policy, default: isDefault, virtual: true }]
    })
    return [...real.map((mapping) => ({ ...mapping, virtual: false })), ...virtual]
  }

  function write(path: string, parameters: URLSearchParams, body: string): WireAnswer {
    influx.writes.push(path)
    if (parameters.get('org') !== ORG.name)
      return error(404, 'not found', `organization name "${parameters.get('org')}" not found`)
    const name = parameters.get('bucket')
    const bucket = influx.buckets.find((one) => one.name === name)
    return bucket
      ? influx.lines.write(bucket, body, systemClock.wallMs())
      : error(404, 'not found', `bucket "${name}" not found`)
  }
  return influx
}
