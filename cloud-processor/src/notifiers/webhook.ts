/**
 * POSTs the documented JSON. `Idempotency-Key` is the same in every repetition; with a secret each attempt is signed, as Stripe
 * does it: HMAC-SHA256 over "<seconds>.<body>", so that an old request cannot be played back later.
 */
import { createHmac } from 'node:crypto'
import type { Clock } from '@tributary/runtime'
import { type HttpTarget, postJson } from './http-post.ts'
import type { Notifier } from './notifier.ts'
import { payloadOf } from './payload.ts'
import type { Wording } from './wording.ts'

export interface WebhookOptions extends HttpTarget, Wording {
  readonly secret?: string | undefined
}

export function webhookNotifier(options: WebhookOptions, { clock }: { readonly clock: Clock }): Notifier {
  const { name, secret } = options
  return {
    name,
    send(notification, signal) {
      const body = JSON.stringify(payloadOf(notification, options))
      const headers: Record<string, string> = { 'idempotency-key': notification.key }
      if (secret !== undefined)
        headers['tributary-signature'] = signatureOf(secret, body, Math.floor(clock.wallMs() / 1000))
      return postJson(options, body, headers, { clock, signal })
    },
  }
}

/** `t=<seconds since 1970>,v1=<hexadecimal HMAC-SHA256 of "<t>.<body>">` */
export function signatureOf(secret: string, body: string, seconds: number): string {
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`
}
