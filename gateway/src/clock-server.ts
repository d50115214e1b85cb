/**
 * Answers agents that ask for the time, and says whether the answer can be trusted: agents correct and release readings by it, so a
 * gateway that does not know whether its clock is right says so.
 */
import { type ClockPong, clockPing, parseControlMessage } from '@tributary/protocol'
import { type Clock, every, isPlausibleTime, type KernelClock, type Logger, type Service } from '@tributary/runtime'
import type { Broker } from './broker.ts'

const KERNEL_CHECK_MS = 30_000

export interface ClockServer extends Service {
  /** Whether this gateway vouches for its clock at present. */
  readonly trusted: boolean
}

/**
 * @param mode `always` and `never`: as a person has decided. `auto`: trusted when a time service keeps the kernel's clock right; not
 * when one is there and has not succeeded; and where nobody can tell, as in most containers, when the time is plausible.
 */
export function createClockServer(
  mode: 'auto' | 'always' | 'never',
  broker: Pick<Broker, 'onClock' | 'publish'>,
  readKernel: () => Promise<KernelClock>,
  { clock, log }: { clock: Clock; log: Logger },
): ClockServer {
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  let kernel: KernelClock | undefined
  let saidTrusted: boolean | undefined

  const isTrusted = () => {
    if (mode !== 'auto') return mode === 'always'
    return kernel === 'synchronised' || (kernel === 'unknown' && isPlausibleTime(clock.wallMs()))
  }
  const look = async () => {
    if (mode === 'auto') kernel = await readKernel()
    const trusted = isTrusted()
    if (trusted === saidTrusted) return
    saidTrusted = trusted
    if (trusted) log.info({ kernel, mode }, 'agents may set their times by the clock of this gateway')
    else
      log.warn(
        {
          kernel,
          mode,
          hint: 'set up a time service (timedatectl set-ntp true), or, when the clock is right all the same, clock.trusted: always',
        },
        'the clock of this gateway is not trusted: agents without a clock of their own mark their readings as untrusted',
      )
  }
  broker.onClock((agent, payload) => {
    const ping = parseControlMessage(clockPing, payload)
    if (!ping) return
    const pong: ClockPong = { type: 'pong', id: ping.id, wallMs: clock.wallMs(), trusted: isTrusted() }
    broker.publish(agent, 'clock', JSON.stringify(pong))
  })
  return {
    name: 'clock server',
    get trusted() {
      return isTrusted()
    },
    async start() {
      // Before the first agent can ask.
      await look()
      running = every(KERNEL_CHECK_MS, look, { clock, signal: stopping.signal })
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}
