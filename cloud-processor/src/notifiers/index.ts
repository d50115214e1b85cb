import type { Clock, Logger } from '@tributary/runtime'
import { durationMs } from '@tributary/runtime'
import { z } from 'zod'
import type { Notifier } from './notifier.ts'

export * from './notifier.ts'
export * from './outbox.ts'
export * from './outbox-state.ts'

const name = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'lower-case letters, digits, "_" and "-", at most 63')

const notifier = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('log'), name }),
  z.strictObject({
    type: z.literal('webhook'),
    name,
    url: z.url({ protocol: /^https?$/, error: 'must be an http or https address' }),
    /** Key of the HMAC-SHA256 signature; without it requests are not signed. */
    secret: z.string().min(16, 'must have at least 16 characters').optional(),
    timeout: durationMs().default(10_000),
    headers: z.record(z.string(), z.string()).default({}),
  }),
])

/** `notifiers:` in the processor's config. */
export const notifiersSchema = z
  .array(notifier)
  .max(32)
  .default([])
  .superRefine((all, context) => {
    for (const [i, one] of all.entries())
      if (all.findIndex((other) => other.name === one.name) < i)
        context.addIssue({ code: 'custom', path: [i, 'name'], message: 'another notifier has this name' })
  })
export type NotifierConfig = z.infer<typeof notifier>

export function createNotifiers(
  _configs: readonly NotifierConfig[],
  _dependencies: { readonly clock: Clock; readonly log: Logger },
): Notifier[] {
  throw new Error('not written yet')
}
