/** One POST of JSON, and what its answer means for whoever asks whether to try again: see DESIGN.md, "Permanent or not". */
import { readFile } from 'node:fs/promises'
import { type Clock, PermanentError } from '@tributary/runtime'
import { Agent, request } from 'undici'
import { oneLine } from './escape.ts'
import { AccessRefusedError, RetryLaterError } from './notifier.ts'
import { withTimeLimit } from './time-limit.ts'

export interface HttpTarget {
  /** Of the notifier, for whoever has to mend its config. */
  readonly name: string
  readonly url: string
  /** For the whole exchange. */
  readonly timeoutMs: number
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Certificate authority, besides which none counts; those of Node when absent. */
  readonly caFile?: string | undefined
}

/** Bytes of an answer that are looked at. */
const ANSWER_BYTES_MAX = 1_024
const ACCESS_REFUSED = new Set([401, 403, 407])
/** Of 4xx: in time it will be taken. */
const ANOTHER_TIME = new Set([408, 409, 421, 423, 425, 429])

/**
 * @param headers of this request; they come before those of the target
 * @returns what was answered, in one line
 */
export async function postJson(
  target: HttpTarget,
  body: string,
  headers: Readonly<Record<string, string>>,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<string> {
  const { name, url, timeoutMs, caFile } = target
  const address = new URL(url)
  const where = address.host
  const [username, password] = [address.username, address.password].map(decodeURIComponent) as [string, string]
  address.username = address.password = ''
  const ca = caFile === undefined ? undefined : await readFile(caFile)
  const dispatcher = ca && new Agent({ connect: { ca } })
  try {
    const { statusCode, answered, retryAfter } = await withTimeLimit(
      { clock, signal, timeoutMs, where },
      async (limited) => {
        const response = await request(address, {
          method: 'POST',
          body,
          headers: {
            ...(username === '' ? {} : { authorization: basicAuthorization(username, password) }),
            ...lowerCased(target.headers),
            ...lowerCased(headers),
            'content-type': 'application/json',
            'user-agent': 'tributary',
          },
          signal: limited,
          headersTimeout: 0,
          bodyTimeout: 0,
          reset: true,
          ...(dispatcher && { dispatcher }),
        })
        const answered = await readSome(response.body)
        return { statusCode: response.statusCode, answered, retryAfter: response.headers['retry-after'] }
      },
    )
    const said = `${where} answered ${statusCode}${answered === '' ? '' : `: ${answered}`}`
    if (statusCode >= 200 && statusCode < 300) return said
    const check = `${said} (check url, headers and secret of notifier "${name}")`
    if (ACCESS_REFUSED.has(statusCode)) throw new AccessRefusedError(check)
    if (statusCode >= 400 && statusCode < 500 && !ANOTHER_TIME.has(statusCode)) throw new PermanentError(check)
    const afterMs = retryAfterMs(retryAfter, clock.wallMs())
    throw afterMs > 0 ? new RetryLaterError(said, afterMs) : new Error(said)
  } finally {
    await dispatcher?.destroy()
  }
}

export const basicAuthorization = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`

const lowerCased = (headers: Readonly<Record<string, string>> = {}): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))

/** Seconds, or a date (RFC 9110, 10.2.3). @returns 0 when it says nothing */
function retryAfterMs(header: string | readonly string[] | undefined, nowMs: number): number {
  const text = String(header ?? '').trim()
  if (/^\d+$/.test(text)) return Number(text) * 1_000
  const atMs = Date.parse(text)
  return Number.isFinite(atMs) ? Math.max(0, atMs - nowMs) : 0
}

/** The beginning of an answer in one line; the rest is not waited for, nor missed: the status has said what became of the request. */
async function readSome(answer: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const chunk of answer) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= ANSWER_BYTES_MAX) break
    }
  } catch {
    // Broken off, or out of time.
  }
  return oneLine(Buffer.concat(chunks).subarray(0, ANSWER_BYTES_MAX).toString('utf8')).slice(0, 200)
}
