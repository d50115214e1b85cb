/** Tells the process's own log: what the journal shows, and what a log shipper carries on. */
import type { Logger } from '@tributary/runtime'
import type { Notifier } from './notifier.ts'
import { payloadOf } from './payload.ts'

export function logNotifier(name: string, { log }: { readonly log: Logger }): Notifier {
  return {
    name,
    async send(notification) {
      const payload = payloadOf(notification)
      log.info({ receiver: name, alert: payload }, payload.title)
    },
  }
}
