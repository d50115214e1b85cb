/** Who speaks, and since when. */
import { readFile } from 'node:fs/promises'

/** This boot of the machine, as the kernel names it; a process's own id where there is no such file. */
export async function readBootId(): Promise<string> {
  const text = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
  return /^[0-9a-f-]{36}$/.test(text.trim()) ? text.trim() : `process-${process.pid}`
}
