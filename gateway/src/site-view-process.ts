/**
 * The site view as a child of the gateway: started again when it ends, ended with the gateway, and never a reason for the
 * gateway to end. It has what is left of the machine: the lowest priority, and the first to go when memory runs out.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { constants, setPriority } from 'node:os'
import {
  type Backoff,
  backoffDelayMs,
  type Clock,
  EXIT_USER_ERROR,
  type Logger,
  type Metrics,
  messageOf,
  type Service,
} from '@tributary/runtime'

export interface ChildProgram {
  readonly program: string
  readonly arguments: readonly string[]
}

const BACKOFF: Backoff = { firstMs: 1_000, maxMs: 60_000 }
/** Who lived so long is not ill. */
const HEALTHY_MS = 60_000
const STOP_MS_MAX = 5_000
const OOM_SCORE_FIRST = '1000'

export interface SiteViewProcess extends Service {
  readonly pid: number | undefined
  readonly restarts: number
}

export function createSiteViewProcess(
  { program, arguments: args }: ChildProgram,
  { clock, log, metrics, backoff = BACKOFF }: { clock: Clock; log: Logger; metrics: Metrics; backoff?: Backoff },
): SiteViewProcess {
  const restartsTotal = metrics.counter(
    'gateway_site_view_restarts_total',
    'Times that the site view was started again',
  )
  const runningNow = metrics.gauge('gateway_site_view_running', '1 while the site view runs')
  const stopping = new AbortController()
  let child: ChildProcess | undefined
  let ended: Promise<void> = Promise.resolve()
  let restarts = 0

  /** @returns how it ended, when it has */
  const run = () =>
    new Promise<{ how: string; forPerson: boolean }>((resolve) => {
      const { NOTIFY_SOCKET: _, ...environment } = process.env
      // Its channel closes when we end, however we do; it ends then, too.
      const started = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: environment })
      child = started
      const onEnd = (how: string, forPerson = false) => {
        child = undefined
        runningNow.set(0)
        resolve({ how, forPerson })
      }
      started.once('error', (error) => onEnd(messageOf(error)))
      started.once('exit', (code, signal) => onEnd(signal ?? `exit code ${code}`, code === EXIT_USER_ERROR))
      if (started.pid === undefined) return
      runningNow.set(1)
      yieldToOthers(started.pid).catch((error) =>
        log.warn({ error: messageOf(error) }, 'the site view has ordinary priority'),
      )
    })
  const keepRunning = async () => {
    for (let attempt = 1; !stopping.signal.aborted; attempt++) {
      const startedMs = clock.monotonicMs()
      const { how, forPerson } = await run()
      if (stopping.signal.aborted) return
      if (clock.monotonicMs() - startedMs >= HEALTHY_MS) attempt = 1
      // What a person must mend is not mended within a second.
      const delayMs = forPerson ? backoff.maxMs : Math.round(backoffDelayMs(backoff, attempt))
      log.error({ how, delayMs }, 'the site view ended and is started again; nothing else is affected')
      restarts += 1
      restartsTotal.inc()
      await clock.sleep(delayMs, stopping.signal).catch(() => undefined)
    }
  }
  return {
    name: 'site view',
    get pid() {
      return child?.pid
    },
    get restarts() {
      return restarts
    },
    async start() {
      ended = keepRunning()
    },
    async stop() {
      stopping.abort()
      child?.kill('SIGTERM')
      const cancel = clock.after(STOP_MS_MAX, () => child?.kill('SIGKILL'))
      await ended.finally(cancel)
    },
  }
}

async function yieldToOthers(pid: number): Promise<void> {
  setPriority(pid, constants.priority.PRIORITY_LOW)
  await writeFile(`/proc/${pid}/oom_score_adj`, OOM_SCORE_FIRST)
}
