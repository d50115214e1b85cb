/** Who has a serial port open, as far as /proc shows it to us. */
import { readdir, readFile, stat } from 'node:fs/promises'

export interface PortHolder {
  readonly pid: number
  /** The name of its program. */
  readonly command: string
}

/** @returns other processes, and our own when it has the port open; [] when that cannot be told */
export async function portHolders(path: string): Promise<PortHolder[]> {
  const port = await stat(path).catch(() => undefined)
  if (!port) return []
  const holders: PortHolder[] = []
  const processes = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  for (const pid of processes) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (const descriptor of descriptors) {
      const open = await stat(`/proc/${pid}/fd/${descriptor}`).catch(() => undefined)
      if (!open?.isCharacterDevice() || open.rdev !== port.rdev || open.ino !== port.ino) continue
      const command = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
      holders.push({ pid: Number(pid), command: command.trim() })
      break
    }
  }
  return holders
}
