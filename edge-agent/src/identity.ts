/** Who speaks, and since when. */
import { readFile } from 'node:fs/promises'
import type { ClockQuality } from '@tributary/protocol'

/** This boot of the machine, as the kernel names it; a process's own id where there is no such file. */
export async function readBootId(): Promise<string> {
  const text = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
  return /^[0-9a-f-]{36}$/.test(text.trim()) ? text.trim() : `process-${process.pid}`
}

/** A machine without a clock battery wakes up in 1970, or when its image was made: no reading was taken before this. */
const CLOCK_PLAUSIBLE_FROM_MS = Date.UTC(2025, 0, 1)
export const clockQualityAt = (wallMs: number): ClockQuality =>
  wallMs >= CLOCK_PLAUSIBLE_FROM_MS ? 'trusted' : 'untrusted'
