/**
 * POSTs JSON. The receiver has taken it when it answers 2xx. Some 4xx say that it never will take this request; anything
 * else is tried again, also 401 and 403: with the right token it will be taken. `Idempotency-Key` is the same in every repetition; with a secret each attempt is signed, as Stripe
 * does it: HMAC-SHA256 over "<seconds>.<body>", so that an old request cannot be played back later.
 */
import { createHmac } from 'node:crypto'
import { type Clock, messageOf, PermanentError } from '@tributary/runtime'
import { request } from 'undici'
import { AccessRefusedError, type Notification, type Notifier, RetryLaterError } from './notifier.ts'
import { payloadOf } from './payload.ts'

export interface WebhookOptions {
  readonly name: string
  readonly url: string
  readonly secret?: string | undefined
  /** For the whole exchange. */
  readonly timeoutMs: number
  readonly headers?: Readonly<Record<string, string>>
}

/** Bytes of an answer that are looked at, for the log. */
const ANSWER_BYTES_MAX = 1_024
/** About the request itself, which would be the same another time. */
const TAKEN_NEVER = new Set([400, 404, 405, 406, 410, 411, 413, 414, 415, 422, 431])
const ACCESS_REFUSED = new Set([401, 403, 407])

export function webhookNotifier(options: WebhookOptions, { clock }: { readonly clock: Clock }): Notifier {
  const { name, url, secret, timeoutMs } = options
  const where = new URL(url).host
  const ownHeaders = Object.fromEntries(Object.entries(options.headers ?? {}).map(([k, v]) => [k.toLowerCase(), v]))
  return {
    name,
    async send(notification, signal) {
      const body = JSON.stringify(payloadOf(notification))
      const limit = new AbortController()
      const cancel = clock.after(timeoutMs, () => limit.abort(new Error(`${where} did not answer in ${timeoutMs} ms`)))
      try {
        const {
          statusCode,
          headers,
          body: answer,
        } = await request(url, {
          method: 'POST',
          body,
          headers: { ...ownHeaders, ...headersOf(notification, body, secret, clock.wallMs()) },
          signal: AbortSignal.any([signal, limit.signal]),
          headersTimeout: 0,
          bodyTimeout: 0,
          reset: true,
        })
        const text = await readSome(answer)
        if (statusCode >= 200 && statusCode < 300) return
        const said = `${where} answered ${statusCode}${text === '' ? '' : `: ${text}`}`
        const check = `${said} (check url, headers and secret of notifier "${name}")`
        if (TAKEN_NEVER.has(statusCode)) throw new PermanentError(check)
        if (ACCESS_REFUSED.has(statusCode)) throw new AccessRefusedError(check)
        const afterSeconds = Number(headers['retry-after'])
        throw afterSeconds > 0 ? new RetryLaterError(said, afterSeconds * 1_000) : new Error(said)
      } catch (error) {
        if (limit.signal.aborted && !signal.aborted) throw limit.signal.reason
        const ours = [PermanentError, AccessRefusedError, RetryLaterError].some((type) => error instanceof type)
        if (ours || signal.aborted) throw error
        throw new Error(`${where}: ${messageOf(error)}`, { cause: error })
      } finally {
        cancel()
      }
    },
  }
}

function headersOf({ key }: Notification, body: string, secret: string | undefined, nowMs: number) {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    'user-agent': 'tributary',
    'idempotency-key': key,
  }
  if (secret !== undefined) headers['tributary-signature'] = signatureOf(secret, body, Math.floor(nowMs / 1000))
  return headers
}

/** `t=<seconds since 1970>,v1=<hexadecimal HMAC-SHA256 of "<t>.<body>">` */
export function signatureOf(secret: string, body: string, seconds: number): string {
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`
}

/** The beginning of an answer in one line; the rest is not waited for. */
async function readSome(answer: AsyncIterable<Uint8Array> & { destroy(): unknown }): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of answer) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= ANSWER_BYTES_MAX) break
  }
  return Buffer.concat(chunks).subarray(0, ANSWER_BYTES_MAX).toString('utf8').replace(/\s+/g, ' ').trim().slice(0, 200)
}
