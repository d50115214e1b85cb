/** Requests to the gateway beside us, each with the token that lies in the site view's folder. */
import { readFile } from 'node:fs/promises'
import { errorCode, type HostPort, messageOf } from '@tributary/runtime'

export interface GatewayLink {
  /** @throws Error that says what to do when there is no token or no gateway */
  request(method: 'GET' | 'POST', path: string, body: unknown, signal: AbortSignal): Promise<Response>
}

export function createGatewayLink({ host, port }: HostPort, tokenFile: string): GatewayLink {
  const origin = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  return {
    async request(method, path, body, signal) {
      const token = await readFile(tokenFile, 'utf8').catch((error) => {
        const why =
          errorCode(error) === 'ENOENT' ? 'start the gateway first, with site_view in its config' : messageOf(error)
        throw new Error(`no token in ${tokenFile}: ${why}`, { cause: error })
      })
      const headers = { authorization: `Bearer ${token.trim()}` }
      try {
        return await fetch(`${origin}${path}`, {
          method,
          signal,
          ...(body === undefined
            ? { headers }
            : { headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(body) }),
        })
      } catch (error) {
        signal.throwIfAborted()
        const cause = error instanceof Error && error.cause ? messageOf(error.cause) : messageOf(error)
        throw new Error(`no gateway at ${host}:${port} (${cause})`, { cause: error })
      }
    },
  }
}
