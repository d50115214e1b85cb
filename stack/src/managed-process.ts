/**
 * A process that we started: it can be awaited, killed and started again, and it dies with us. Each runs in a process
 * group of its own, so that Ctrl-C in the terminal reaches us alone and we stop the pipeline in order.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { systemClock, UserError } from '@tributary/runtime'

export interface ProcessPlan {
  readonly name: string
  readonly program: string
  readonly arguments: readonly string[]
  readonly environment?: Record<string, string>
  /** Standard output and error are appended to this file. */
  readonly logFile: string
  /** Resolves to true once the process does its work. */
  isReady(): Promise<boolean>
  readonly readyMsMax?: number
}

export interface ManagedProcess {
  readonly name: string
  readonly pid: number | undefined
  readonly running: boolean
  readonly logFile: string
  /** Starts and waits until it is ready. @throws UserError with the end of its log when it ends or does not get ready */
  start(signal?: AbortSignal): Promise<void>
  /** SIGTERM, then SIGKILL after `graceMsMax`. @returns the exit code, null after a signal */
  stop(graceMsMax?: number): Promise<number | null>
  /** SIGKILL (or another signal), and waits for the end unless the signal does not end it. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Resident memory in bytes; undefined when it does not run. */
  rssBytes(): Promise<number | undefined>
  /** CPU seconds, user and system, of the present process. */
  cpuSeconds(): Promise<number | undefined>
}

/** `setpriv` ties the child's life to ours, even when we are killed; part of Debian's util-linux. */
const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find(existsSync)
const CLOCK_TICKS_PER_SECOND = 100

export function createManagedProcess(plan: ProcessPlan): ManagedProcess {
  let child: ChildProcess | undefined
  let exited: Promise<number | null> = Promise.resolve(null)
  let running = false

  const killGroupOnExit = () => {
    if (running && child?.pid) process.kill(-child.pid, 'SIGKILL')
  }
  const launch = () => {
    const log = openSync(plan.logFile, 'a')
    const command = setpriv
      ? [setpriv, '--pdeathsig', 'KILL', '--', plan.program, ...plan.arguments]
      : [plan.program, ...plan.arguments]
    const [program, ...rest] = command as [string, ...string[]]
    const started = spawn(program, rest, {
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...process.env, ...plan.environment },
    })
    child = started
    running = true
    process.once('exit', killGroupOnExit)
    exited = new Promise((resolve) => {
      const onEnd = (code: number | null) => {
        running = false
        process.off('exit', killGroupOnExit)
        resolve(code)
      }
      started.once('error', () => onEnd(127))
      started.once('exit', onEnd)
    })
  }
  const logEnd = async () =>
    (await readFile(plan.logFile, 'utf8').catch(() => '')).split('\n').filter(Boolean).slice(-8).join('\n')

  return {
    name: plan.name,
    logFile: plan.logFile,
    get pid() {
      return running ? child?.pid : undefined
    },
    get running() {
      return running
    },
    async start(signal) {
      launch()
      const deadlineMs = systemClock.monotonicMs() + (plan.readyMsMax ?? 60_000)
      while (!(await plan.isReady().catch(() => false))) {
        signal?.throwIfAborted()
        if (!running)
          throw new UserError(`${plan.name} ended with code ${await exited}:\n${await logEnd()}`, {
            hint: `the whole log is in ${plan.logFile}`,
          })
        if (systemClock.monotonicMs() > deadlineMs)
          throw new UserError(
            `${plan.name} did not get ready in ${(plan.readyMsMax ?? 60_000) / 1000} s:\n${await logEnd()}`,
            { hint: `the whole log is in ${plan.logFile}` },
          )
        await systemClock.sleep(50, signal)
      }
    },
    async stop(graceMsMax = 20_000) {
      if (!running || !child) return exited
      child.kill('SIGTERM')
      const cancel = systemClock.after(graceMsMax, () => child?.kill('SIGKILL'))
      return exited.finally(cancel)
    },
    async kill(signal = 'SIGKILL') {
      if (!running || !child) return
      child.kill(signal)
      if (signal !== 'SIGSTOP' && signal !== 'SIGCONT' && signal !== 'SIGUSR2' && signal !== 'SIGHUP') await exited
    },
    async rssBytes() {
      const status = child?.pid && running ? await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '') : ''
      const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]
      return kib === undefined ? undefined : Number(kib) * 1024
    },
    async cpuSeconds() {
      const stat = child?.pid && running ? await readFile(`/proc/${child.pid}/stat`, 'utf8').catch(() => '') : ''
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return stat ? (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND : undefined
    },
  }
}

/** Whether a GET answers with 2xx. */
export const answers = async (url: string): Promise<boolean> => {
  const response = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined)
  await response?.arrayBuffer().catch(() => undefined)
  return response?.ok ?? false
}
