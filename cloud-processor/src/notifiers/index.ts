import { type Clock, durationMs, type Logger } from '@tributary/runtime'
import { z } from 'zod'
import { logNotifier } from './log.ts'
import type { Notifier } from './notifier.ts'
import { webhookNotifier } from './webhook.ts'

export type { Notification, Notifier } from './notifier.ts'
export * from './outbox.ts'
export * from './outbox-state.ts'
export { type NotificationPayload, payloadOf } from './payload.ts'

const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'must be lower-case letters, digits, "_" and "-", at most 63')

const notifier = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('log'), name }),
  z.strictObject({
    type: z.literal('webhook'),
    name,
    url: z.url({ protocol: /^https?$/, error: 'must be an http or https address' }),
    /** Key of the HMAC-SHA256 signature; without it requests are not signed. */
    secret: z.string().min(16, 'must have at least 16 characters').optional(),
    /** For one attempt. */
    timeout: durationMs().default(10_000),
    headers: z.record(z.string().regex(/^[A-Za-z0-9-]+$/, 'must be the name of a header'), z.string()).default({}),
  }),
])
export type NotifierConfig = z.output<typeof notifier>

/** `notifiers:` in the processor's config. */
export const notifiersSchema = z
  .array(notifier)
  .max(32)
  .default([])
  .superRefine((all, context) => {
    for (const [i, one] of all.entries())
      if (all.findIndex((other) => other.name === one.name) < i)
        context.addIssue({ code: 'custom', path: [i, 'name'], message: 'must be a name that no other notifier has' })
  })

export function createNotifiers(
  configs: readonly NotifierConfig[],
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Notifier[] {
  const create = (config: NotifierConfig): Notifier => {
    switch (config.type) {
      case 'log':
        return logNotifier(config.name, { log })
      case 'webhook':
        return webhookNotifier({ ...config, timeoutMs: config.timeout }, { clock })
    }
  }
  return configs.map(create)
}
