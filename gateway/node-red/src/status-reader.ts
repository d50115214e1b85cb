/** Asks the gateway every two seconds how it and its agents are. */
import type { GatewayStatus } from '@tributary/gateway'
import { type Clock, every, type Service } from '@tributary/runtime'
import type { GatewayLink } from './gateway-link.ts'

const EVERY_MS = 2_000
const PATIENCE_MS = 2_000

export interface StatusReader extends Service {
  /** Undefined: the gateway did not answer the last time. */
  readonly latest: GatewayStatus | undefined
}

export function createStatusReader(link: GatewayLink, { clock }: { clock: Clock }): StatusReader {
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let latest: GatewayStatus | undefined

  const ask = async () => {
    const patience = new AbortController()
    const cancel = clock.after(PATIENCE_MS, () => patience.abort(new Error('no answer')))
    try {
      const signal = AbortSignal.any([stopping.signal, patience.signal])
      const response = await link.request('GET', '/status', undefined, signal)
      latest = response.ok ? ((await response.json()) as GatewayStatus) : undefined
    } catch {
      latest = undefined
    } finally {
      cancel()
    }
  }
  return {
    name: 'status reader',
    get latest() {
      return latest
    },
    async start() {
      running = every(EVERY_MS, ask, { clock, signal: stopping.signal })
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}
