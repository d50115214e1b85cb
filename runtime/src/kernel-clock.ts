/** Whether a time service keeps this machine's clock right: asked of what is there, without a native module. */
import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** `unknown`: nobody here can tell, as in most containers. */
export type KernelClock = 'synchronised' | 'not synchronised' | 'unknown'

/** systemd-timesyncd makes this file when it first agrees with a time server after the machine's start. */
const TIMESYNC_FILE = '/run/systemd/timesync/synchronized'
const ANSWER_MS_MAX = 5_000

const PLAUSIBLE_FROM_MS = Date.UTC(2025, 0, 1)
const PLAUSIBLE_TO_MS = Date.UTC(2100, 0, 1)
/** A machine without a clock battery wakes up in 1970, or when its image was made: it was never so early, and is not so late. */
export const isPlausibleTime = (wallMs: number): boolean => wallMs >= PLAUSIBLE_FROM_MS && wallMs < PLAUSIBLE_TO_MS

/**
 * Asks, in this order: `timedatectl`, which asks the kernel, whoever sets its clock (timesyncd, chrony, ntpd, PTP), and knows when a
 * person has set it since; `chronyc`; systemd-timesyncd's file. The first that knows is believed.
 */
export async function readKernelClock(timesyncFile = TIMESYNC_FILE): Promise<KernelClock> {
  const kernel = await answerOf('timedatectl', ['show', '-p', 'NTPSynchronized', '--value'])
  if (kernel === 'yes') return 'synchronised'
  if (kernel === 'no') return 'not synchronised'
  // One line of values; the last is the leap status.
  const leapStatus = (await answerOf('chronyc', ['-c', 'tracking'])).split(',').at(-1)
  if (leapStatus) return leapStatus === 'Not synchronised' ? 'not synchronised' : 'synchronised'
  return access(timesyncFile).then(
    () => 'synchronised',
    () => 'unknown',
  )
}

/** @returns '' when the program is not there, fails, or takes too long */
async function answerOf(program: string, programArguments: readonly string[]): Promise<string> {
  try {
    return (await run(program, [...programArguments], { timeout: ANSWER_MS_MAX })).stdout.trim()
  } catch {
    return ''
  }
}
