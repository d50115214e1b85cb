/** Tells the process's own log: what the journal shows, and what a log shipper carries on. */
import type { Logger } from '@tributary/runtime'
import type { Notifier } from './notifier.ts'
import { payloadOf } from './payload.ts'
import type { Wording } from './wording.ts'

export function logNotifier(options: { readonly name: string } & Wording, { log }: { readonly log: Logger }): Notifier {
  const { name } = options
  return {
    name,
    async send(notification) {
      const payload = payloadOf(notification, options)
      log.info({ receiver: name, alert: payload }, payload.title)
      return 'written to the log'
    },
  }
}
