/** InfluxDB 2.x on the wire: its management API over a store in memory, and writes answered from a list. The answers are those of 2.7.12. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

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
  /** Of the writes to come; 204 when there is none. */
  readonly answers: WireAnswer[]
  readonly writes: { readonly path: string; readonly body: string }[]
  close(): Promise<void>
}

const ORG = { id: '0a1b', name: 'works' }
const error = (status: number, code: string, message: string): WireAnswer => ({
  status,
  body: JSON.stringify({ code, message }),
})
const answer = (status: number, body: unknown): WireAnswer => ({ status, body: JSON.stringify(body) })

/** @param token the only one that is known; it may do everything unless `mayManage` is false */
export async function startInflux2({ token = 'all-access', mayManage = true } = {}): Promise<Influx2> {
  const server = createServer((request, response) => void serve(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const influx: Influx2 = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    buckets: [],
    mappings: [],
    posts: 0,
    answers: [],
    writes: [],
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
    if (headers.authorization !== `Token ${token}`) return error(401, 'unauthorized', 'unauthorized access')
    if (pathname === '/api/v2/write') return write(url, searchParams, body)
    if (pathname === '/api/v2/orgs')
      return searchParams.get('org') === ORG.name
        ? answer(200, { orgs: [ORG] })
        : error(404, 'not found', `organization name "${searchParams.get('org')}" not found`)
    if (method === 'POST' && !mayManage) return error(401, 'unauthorized', 'write:orgs/0a1b/buckets is unauthorized')
    if (method === 'POST') influx.posts += 1
    if (pathname === '/api/v2/buckets' && method === 'GET')
      return answer(200, { buckets: influx.buckets.filter(({ name }) => name === searchParams.get('name')) })
    if (pathname === '/api/v2/buckets') {
      const bucket = { ...(JSON.parse(body) as Bucket), id: `b${influx.buckets.length}` }
      influx.buckets.push(bucket)
      return answer(201, bucket)
    }
    if (pathname === '/api/v2/dbrps' && method === 'GET')
      return answer(200, { content: mappingsOf(searchParams.get('db') ?? '') })
    if (pathname === '/api/v2/dbrps') {
      influx.mappings.push(JSON.parse(body) as Mapping)
      return answer(201, JSON.parse(body))
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
    influx.writes.push({ path, body })
    if (parameters.get('org') !== ORG.name)
      return error(404, 'not found', `organization name "${parameters.get('org')}" not found`)
    const name = parameters.get('bucket')
    if (!influx.buckets.some((bucket) => bucket.name === name))
      return error(404, 'not found', `bucket "${name}" not found`)
    return influx.answers.shift() ?? { status: 204 }
  }
  return influx
}
