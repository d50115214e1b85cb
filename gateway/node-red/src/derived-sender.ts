/**
 * What flows make goes to the gateway's admission. A sample is `stored` once the gateway has it on disk; while it cannot be reached they
 * wait, so many and no more: what finds no room is dropped at once, counted, and its flow is told.
 */
import { type Contracts, DERIVED_SAMPLES_MAX, type DerivedSample, derivedSample } from '@tributary/protocol'
import {
  type Backoff,
  backoffDelayMs,
  type Clock,
  type Logger,
  messageOf,
  PermanentError,
  type Service,
} from '@tributary/runtime'
import type { GatewayLink } from './gateway-link.ts'

export const QUEUE_MAX = 1_000
/** So that a flow that sends one by one makes few batches. */
const GATHER_MS = 250
const PATIENCE_MS = 12_000
const BACKOFF: Backoff = { firstMs: 500, maxMs: 15_000 }

export interface DerivedSender extends Service {
  /** Resolves when the sample is on the gateway's disk. @throws PermanentError that says why it will never be */
  send(sample: unknown): Promise<void>
  readonly stored: number
  readonly dropped: number
  readonly waiting: number
  /** Why nothing is taken at present. */
  readonly problem: string | undefined
}

interface Queued {
  readonly sample: DerivedSample
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export function createDerivedSender(
  link: GatewayLink,
  contracts: Contracts,
  { clock, log }: { clock: Clock; log: Logger },
): DerivedSender {
  let queue: Queued[] = []
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let stored = 0
  let dropped = 0
  let problem: string | undefined

  const post = async (samples: readonly DerivedSample[]): Promise<void> => {
    const patience = new AbortController()
    const cancel = clock.after(PATIENCE_MS, () => patience.abort(new Error('the gateway did not answer')))
    try {
      const signal = AbortSignal.any([stopping.signal, patience.signal])
      const response = await link.request('POST', '/samples', { samples }, signal)
      if (response.ok) return
      const said = await response.text()
      const detail = `the gateway answers ${response.status}: ${said.slice(0, 300)}`
      throw response.status === 400 || response.status === 413 ? new PermanentError(detail) : new Error(detail)
    } finally {
      cancel()
    }
  }
  const refuse = (queued: readonly Queued[], error: Error) => {
    dropped += queued.length
    for (const { reject } of queued) reject(error)
  }
  const run = async () => {
    for (let attempt = 0; !stopping.signal.aborted; ) {
      const delayMs = attempt === 0 ? GATHER_MS : backoffDelayMs(BACKOFF, attempt)
      await clock.sleep(delayMs, stopping.signal).catch(() => undefined)
      const some = queue.slice(0, DERIVED_SAMPLES_MAX)
      if (some.length === 0 || stopping.signal.aborted) continue
      try {
        await post(some.map(({ sample }) => sample))
        stored += some.length
        for (const { resolve } of some) resolve()
      } catch (error) {
        if (!(error instanceof PermanentError)) {
          if (attempt === 0) log.warn({ problem: messageOf(error) }, 'derived samples wait: the gateway takes none')
          problem = messageOf(error)
          attempt += 1
          continue
        }
        refuse(some, error)
      }
      queue = queue.slice(some.length)
      problem = undefined
      attempt = 0
    }
  }
  return {
    name: 'derived sender',
    get stored() {
      return stored
    },
    get dropped() {
      return dropped
    },
    get waiting() {
      return queue.length
    },
    get problem() {
      return problem
    },
    async send(given) {
      const { success, data, error } = derivedSample.safeParse(given)
      const mistake = success
        ? mistakeIn(data, contracts)
        : error.issues.map(({ path, message }) => `${path.join('.') || 'the sample'}: ${message}`).join('; ')
      if (!success || mistake) {
        dropped += 1
        throw new PermanentError(mistake)
      }
      if (queue.length >= QUEUE_MAX) {
        dropped += 1
        throw new PermanentError(`dropped: ${QUEUE_MAX} samples wait already${problem ? ` (${problem})` : ''}`)
      }
      await new Promise<void>((resolve, reject) => queue.push({ sample: data, resolve, reject }))
    },
    async start() {
      running = run()
    },
    async stop() {
      stopping.abort()
      await running
      refuse(queue, new Error('the site view is stopping'))
      queue = []
    },
  }
}

/** Said where the flow can be mended; the processor judges again. */
function mistakeIn({ kind, fields }: DerivedSample, contracts: Contracts): string | undefined {
  const contract = contracts.get(kind)
  if (!contract) return `there is no contract for "${kind}": give it one, here and to the processor`
  for (const [field, value] of Object.entries(fields)) {
    const of = Object.hasOwn(contract.fields, field) ? contract.fields[field] : undefined
    if (!of) return `the contract of ${kind} has no field "${field}"`
    const type = of.type === 'float' || of.type === 'integer' ? 'number' : of.type
    if (typeof value !== type || (of.type === 'integer' && !Number.isInteger(value)))
      return `${field}: ${JSON.stringify(value)} is no ${of.type}`
    if ('range' in of && of.range && ((value as number) < of.range[0] || (value as number) > of.range[1]))
      return `${field}: ${value} is not within ${of.range[0]} to ${of.range[1]}`
  }
  return undefined
}
