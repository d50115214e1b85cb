/** Tells the process's own log, whatever level it has: what the journal shows, and what a log shipper carries on. */
import type { Logger } from '@tributary/runtime'
import type { Notifier } from './notifier.ts'
import { payloadOf } from './payload.ts'
import type { Wording } from './wording.ts'

export function logNotifier(options: { readonly name: string } & Wording, { log }: { readonly log: Logger }): Notifier {
  const { name } = options
  const journal = log.child({ receiver: name }, { level: 'info' })
  return {
    name,
    async send(notification) {
      const payload = payloadOf(notification, options)
      journal.info({ alert: payload }, payload.title)
      return 'written to the log'
    },
  }
}
