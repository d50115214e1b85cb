/** The command `tributary`, as a person runs it. */
import { spawn } from 'node:child_process'
import { systemClock } from '@tributary/runtime'
import { tributaryProgram } from '@tributary/stack'

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly pid: number
  readonly finished: Promise<Finished>
  /** Everything printed so far, both streams. */
  output(): string
  /** Waits until the output matches. @throws with the output when it ends or takes too long */
  says(pattern: RegExp, timeoutMs?: number): Promise<void>
  signal(name: NodeJS.Signals): void
}

export function startTributary(args: readonly string[], environment: Record<string, string> = {}, input = ''): Running {
  const child = spawn(process.execPath, [tributaryProgram, ...args], { env: { ...process.env, ...environment } })
  let stdout = ''
  let stderr = ''
  let ended = false
  child.stdout.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const finished = new Promise<Finished>((resolve) =>
    child.on('close', (code) => {
      ended = true
      resolve({ code, stdout, stderr })
    }),
  )
  const output = () => stdout + stderr
  return {
    pid: child.pid ?? 0,
    finished,
    output,
    async says(pattern, timeoutMs = 30_000) {
      const untilMs = systemClock.monotonicMs() + timeoutMs
      while (!pattern.test(output())) {
        if (ended || systemClock.monotonicMs() > untilMs)
          throw new Error(`${pattern} was not printed by tributary ${args.join(' ')}:\n${output()}`)
        await systemClock.sleep(50)
      }
    },
    signal: (name) => child.kill(name),
  }
}

export const runTributary = (
  args: readonly string[],
  environment: Record<string, string> = {},
  input = '',
): Promise<Finished> => startTributary(args, environment, input).finished

/** Polls until the condition holds. */
export async function until(
  condition: () => Promise<boolean> | boolean,
  what: string,
  timeoutMs = 30_000,
): Promise<void> {
  const untilMs = systemClock.monotonicMs() + timeoutMs
  while (!(await condition())) {
    if (systemClock.monotonicMs() > untilMs) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await systemClock.sleep(100)
  }
}
