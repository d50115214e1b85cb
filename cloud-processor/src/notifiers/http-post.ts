/** One POST of JSON, and what its answer means for whoever asks whether to try again: see DESIGN.md, "Permanent or not". */
import { readFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
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

/** Of an answer, which is for people: the status says what became of the request. */
const ANSWER_BYTES_MAX = 1_024
const ANSWER_MS_MAX = 1_000
const ANSWER_CHARACTERS_MAX = 200
const SECRET_CHARACTERS_MIN = 4
/** Nothing is wrong with what was sent: the address or the access is to be mended, here or there. */
const TO_BE_MENDED = new Set([401, 403, 404, 405, 407, 410])
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
  const sent = {
    ...(username === '' ? {} : { authorization: basicAuthorization(username, password) }),
    ...lowerCased(target.headers),
    ...lowerCased(headers),
    'content-type': 'application/json',
    'user-agent': 'tributary',
  }
  const secrets = secretsOf([
    address.pathname + address.search,
    address.pathname,
    password,
    ...Object.values({ ...target.headers, ...('authorization' in sent ? { sent: sent.authorization } : {}) }),
  ])
  try {
    const { statusCode, answered, retryAfter } = await withTimeLimit(
      { clock, signal, timeoutMs, where },
      async (limited) => {
        const response = await request(address, {
          method: 'POST',
          body,
          headers: sent,
          signal: limited,
          headersTimeout: 0,
          bodyTimeout: 0,
          reset: true,
          ...(dispatcher && { dispatcher }),
        })
        const answered = await readSome(response.body, clock)
        return { statusCode: response.statusCode, answered, retryAfter: response.headers['retry-after'] }
      },
    )
    const words = withoutSecrets(answered, secrets).slice(0, ANSWER_CHARACTERS_MAX)
    const said = `${where} answered ${statusCode}${words === '' ? '' : `: ${words}`}`
    if (statusCode >= 200 && statusCode < 300) return said
    const check = `(check url, headers and secret of notifier "${name}")`
    if (statusCode >= 300 && statusCode < 400)
      throw new AccessRefusedError(
        `${said}: it sends us elsewhere, where nothing is told; give the final address ${check}`,
      )
    if (TO_BE_MENDED.has(statusCode)) throw new AccessRefusedError(`${said} ${check}`)
    if (statusCode >= 400 && statusCode < 500 && !ANOTHER_TIME.has(statusCode))
      throw new PermanentError(`${said} ${check}`)
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

/** Whole, and the last word of each, as in "Bearer <token>"; longest first. What is shorter than a secret can be stays readable. */
const secretsOf = (texts: readonly string[]): string[] =>
  texts
    .flatMap((text) => [text, text.slice(text.lastIndexOf(' ') + 1)])
    .filter(({ length }) => length >= SECRET_CHARACTERS_MIN)
    .sort((a, b) => b.length - a.length)

/** Servers say in their answers what was asked of them: the page of many for what they do not know names the path. */
const withoutSecrets = (text: string, secrets: readonly string[]): string =>
  secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), text)

/** The beginning of an answer in one line; the rest is not waited for, nor missed: the status has said what became of the request. */
async function readSome(answer: Readable, clock: Clock): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  const cancel = clock.after(ANSWER_MS_MAX, () => answer.destroy())
  try {
    for await (const chunk of answer) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= ANSWER_BYTES_MAX) break
    }
  } catch {
    // Broken off, or out of time.
  } finally {
    cancel()
  }
  return oneLine(Buffer.concat(chunks).subarray(0, ANSWER_BYTES_MAX).toString('utf8'))
}
