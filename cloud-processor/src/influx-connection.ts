/** What sink and query share: one pool of connections, who we are, and which InfluxDB answers. */
import { messageOf } from '@tributary/runtime'
import { Pool } from 'undici'

export interface InfluxOptions {
  readonly url: string
  readonly version?: 'auto' | '1' | '2' | undefined
  readonly database: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** 2.x. */
  readonly token?: string | undefined
  readonly org?: string | undefined
  readonly timeoutMs?: number | undefined
}

export interface InfluxAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

export interface InfluxConnection {
  /** The part of the path before `/write`, when InfluxDB stands behind a proxy. */
  request(
    method: 'GET' | 'POST' | 'PATCH',
    path: string,
    options?: { body?: Uint8Array | string; contentType?: string; signal?: AbortSignal | undefined },
  ): Promise<InfluxAnswer>
  /** Asks once and remembers; the whole version in words. */
  probe(signal?: AbortSignal): Promise<{ major: 1 | 2; version: string }>
  close(): Promise<void>
}

export function createInfluxConnection(options: InfluxOptions): InfluxConnection {
  const base = new URL(options.url)
  const basePath = base.pathname.replace(/\/$/, '')
  const timeoutMs = options.timeoutMs ?? 30_000
  const authorization = authorizationOf(options)
  let pool: Pool | undefined
  let probed: { major: 1 | 2; version: string } | undefined

  const request: InfluxConnection['request'] = async (method, path, { body, contentType, signal } = {}) => {
    pool ??= new Pool(base.origin, {
      connections: 4,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      connect: { timeout: Math.min(timeoutMs, 10_000) },
    })
    const answer = await pool.request({
      method,
      path: `${basePath}${path}`,
      headers: {
        ...(authorization === undefined ? {} : { authorization }),
        ...(body === undefined ? {} : { 'content-type': contentType ?? 'text/plain; charset=utf-8' }),
      },
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    })
    return { status: answer.statusCode, headers: answer.headers, body: await answer.body.text() }
  }
  return {
    request,
    async probe(signal) {
      if (probed !== undefined) return probed
      const { status, headers, body } = await request('GET', '/ping', { signal })
      const said = headers['x-influxdb-version']
      const version = (typeof said === 'string' ? said : '').replace(/^v/, '')
      if (options.version === '1' || options.version === '2')
        probed = { major: options.version === '1' ? 1 : 2, version: version || `${options.version}.x` }
      else if (status < 300 && version !== '') probed = { major: version.startsWith('1.') ? 1 : 2, version }
      else throw new Error(`no InfluxDB answers at ${options.url}: /ping gave ${status} ${body.slice(0, 200)}`)
      return probed
    },
    async close() {
      await pool?.destroy()
      pool = undefined
      probed = undefined
    },
  }
}

function authorizationOf({ token, username, password }: InfluxOptions): string | undefined {
  if (token !== undefined) return `Token ${token}`
  if (username === undefined) return undefined
  return `Basic ${Buffer.from(`${username}:${password ?? ''}`, 'utf8').toString('base64')}`
}

/** A refused connection says which; undici puts that into the cause. */
export function describeInfluxError(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : ''
  return `${messageOf(error) || (error instanceof Error ? error.name : 'failed')}${cause}`
}
