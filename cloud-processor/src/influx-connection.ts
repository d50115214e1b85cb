/** What sink, query and `tributary init` share: one pool of connections, who we are, and which InfluxDB answers. */
import { messageOf, UserError } from '@tributary/runtime'
import { Pool } from 'undici'

export type InfluxMajor = 1 | 2 | 3

export interface InfluxOptions {
  readonly url: string
  readonly version?: 'auto' | '1' | '2' | '3' | undefined
  readonly database: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** 2.x and 3. */
  readonly token?: string | undefined
  /** 2.x. */
  readonly org?: string | undefined
  readonly timeoutMs?: number | undefined
}

export interface InfluxAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

export interface InfluxServer {
  readonly major: InfluxMajor
  /** In words, such as `1.6.7` or `2.x` when it does not say. */
  readonly version: string
}

export interface InfluxConnection {
  /** The path is what follows the path of `url`, when InfluxDB stands behind a proxy. */
  request(
    method: 'GET' | 'POST' | 'PATCH',
    path: string,
    options?: { body?: Uint8Array | string; contentType?: string; signal?: AbortSignal | undefined },
  ): Promise<InfluxAnswer>
  /**
   * Asks which InfluxDB is there.
   * @throws UserError when what answers does not say it, or needs something that the config does not have
   */
  probe(signal?: AbortSignal): Promise<InfluxServer>
  close(): Promise<void>
}

export function createInfluxConnection(options: InfluxOptions): InfluxConnection {
  const base = new URL(options.url)
  const basePath = base.pathname.replace(/\/$/, '')
  const timeoutMs = options.timeoutMs ?? 30_000
  const authorization = authorizationOf(options)
  let pool: Pool | undefined

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

  /** `/ping` says it in a header, unless a proxy takes that away; `/health` of 1.8 and 2.x in its body. */
  async function ask(signal: AbortSignal | undefined): Promise<InfluxServer> {
    const ping = await request('GET', '/ping', { signal })
    if (ping.status === 401)
      throw new UserError(`InfluxDB at ${options.url} answered 401 to /ping`, { hint: hintOfCredentials(options) })
    let said = String(ping.headers['x-influxdb-version'] ?? '')
    if (ping.status < 300 && said === '') {
      const health = await request('GET', '/health', { signal })
      said = /"version":\s*"([^"]+)"/.exec(health.body)?.[1] ?? ''
    }
    const version = said.replace(/^v/, '')
    if (options.version !== undefined && options.version !== 'auto')
      return { major: Number(options.version) as InfluxMajor, version: version || `${options.version}.x` }
    const major = Number(/^([123])\./.exec(version)?.[1] ?? 0)
    if (ping.status >= 500) throw new Error(`InfluxDB at ${options.url} answered ${ping.status} to /ping`)
    if (ping.status < 300 && major > 0) return { major: major as InfluxMajor, version }
    throw new UserError(
      `what answers at ${options.url} does not say which InfluxDB it is: /ping gave ${ping.status} and ${version === '' ? 'no version' : `version ${version}`}`,
      { hint: 'correct influx.url; if a proxy hides the version, set influx.version to 1, 2 or 3' },
    )
  }

  return {
    request,
    async probe(signal) {
      const server = await ask(signal)
      const missing = server.major === 2 ? (['token', 'org'] as const).filter((key) => !options[key]) : []
      if (missing.length === 0) return server
      const names = missing.map((key) => `influx.${key}`).join(' and ')
      throw new UserError(`InfluxDB ${server.version} at ${options.url} cannot be used without ${names}`, {
        hint: `set ${names} in the config; username and password are for 1.x alone`,
      })
    },
    async close() {
      await pool?.destroy()
      pool = undefined
    },
  }
}

function authorizationOf({ token, username, password }: InfluxOptions): string | undefined {
  if (token) return `Token ${token}`
  if (!username) return undefined
  return `Basic ${Buffer.from(`${username}:${password ?? ''}`, 'utf8').toString('base64')}`
}

/** What to correct when InfluxDB does not know us. */
export const hintOfCredentials = ({ token }: Pick<InfluxOptions, 'token'>): string =>
  !token
    ? 'set or correct influx.username and influx.password (1.x), or influx.token (2.x and 3)'
    : 'correct influx.token: it is not one that this InfluxDB knows'

/** A refused connection says which; undici puts that into the cause. */
export function describeInfluxError(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? ` (${error.cause.message})` : ''
  return `${messageOf(error) || (error instanceof Error ? error.name : 'failed')}${cause}`
}
