/** A real receiver of alerts for the demo and the tests: takes webhooks, knows repeats by their idempotency key. */
import { createServer, type Server } from 'node:http'
import type { NotificationPayload } from '@tributary/cloud-processor'

export interface ReceivedAlert {
  readonly key: string
  readonly payload: NotificationPayload
}

export interface AlertReceiver {
  readonly url: string
  /** Each once, in order of arrival; the newest 1,000. */
  readonly received: readonly ReceivedAlert[]
  /** Deliveries whose key had been seen before. */
  readonly repeats: number
  start(): Promise<void>
  stop(): Promise<void>
}

const BODY_BYTES_MAX = 256 * 1024
const RECEIVED_MAX = 1_000

/** @param port 0: a free one. A receiver that is to be stopped and started again needs one of its own. */
export function createAlertReceiver(
  onAlert: (alert: ReceivedAlert) => void = () => undefined,
  port = 0,
): AlertReceiver {
  const received: ReceivedAlert[] = []
  const keys = new Set<string>()
  let repeats = 0
  let server: Server | undefined
  return {
    received,
    get repeats() {
      return repeats
    },
    get url() {
      const address = server?.address()
      return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : port}/`
    },
    start: () =>
      new Promise((resolve, reject) => {
        server = createServer(async (request, response) => {
          const chunks: Buffer[] = []
          let size = 0
          for await (const chunk of request) {
            size += (chunk as Buffer).length
            if (size <= BODY_BYTES_MAX) chunks.push(chunk as Buffer)
          }
          const key = String(request.headers['idempotency-key'] ?? '')
          try {
            const payload = JSON.parse(Buffer.concat(chunks).toString('utf8')) as NotificationPayload
            if (payload.version !== 1 || Number.isNaN(Date.parse(payload.startedAt))) throw new Error('not an alert')
            if (keys.has(key)) repeats += 1
            else {
              keys.add(key)
              const alert = { key, payload }
              received.push(alert)
              if (received.length > RECEIVED_MAX) received.shift()
              onAlert(alert)
            }
            response.writeHead(204).end()
          } catch {
            response.writeHead(400).end()
          }
        })
        server.once('error', reject)
        server.listen(port, '127.0.0.1', () => resolve())
      }),
    stop: () =>
      new Promise((resolve) => {
        server?.closeAllConnections()
        if (server) server.close(() => resolve())
        else resolve()
      }),
  }
}
