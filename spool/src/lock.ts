/** Keeps a second process out of a spool's folder: a file that names its owner, taken over when that process is gone. */
import { readFile } from 'node:fs/promises'
import {
  type Clock,
  errorCode,
  type FileSystem,
  type Logger,
  readFileWhole,
  UserError,
  writeAll,
} from '@tributary/runtime'

export interface ProcessIdentity {
  readonly pid: number
  /** Tells a process from a later one with the same number; '' where the system does not say. */
  readonly startedAt: string
}

/** Who we are and who is alive: the seam to the system's processes. */
export interface Processes {
  own(): Promise<ProcessIdentity>
  isAlive(process: ProcessIdentity): Promise<boolean>
}

export const systemProcesses: Processes = {
  own: async () => ({ pid: process.pid, startedAt: await startedAt(process.pid) }),
  async isAlive({ pid, startedAt: expected }) {
    try {
      process.kill(pid, 0)
    } catch (error) {
      if (errorCode(error) === 'ESRCH') return false
    }
    const found = await startedAt(pid)
    return found === '' || expected === '' || found === expected
  },
}

/** Boot and start time in clock ticks since it. Source: proc(5), field 22 of /proc/<pid>/stat. */
async function startedAt(pid: number): Promise<string> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8')
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    return `${boot.trim()}/${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`
  } catch {
    return ''
  }
}

const ATTEMPTS_MAX = 5

/**
 * Takes the lock; an owner that is gone, or a file that names nobody, is passed over.
 * @returns what gives it back
 * @throws UserError when another process holds it
 */
export async function takeLock(
  path: string,
  { fileSystem, clock, log, processes }: { fileSystem: FileSystem; clock: Clock; log: Logger; processes: Processes },
): Promise<() => Promise<void>> {
  const own = await processes.own()
  const folder = path.slice(0, path.lastIndexOf('/'))
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    try {
      const file = await fileSystem.open(path, 'create')
      try {
        await writeAll(file, Buffer.from(`${JSON.stringify(own)}\n`), 0)
      } catch (error) {
        log.warn({ err: error, path }, 'the lock file could not be written; a second process would not be kept out')
      } finally {
        await file.close().catch(() => undefined)
      }
      return async () => {
        const remove = () => fileSystem.remove(path)
        await remove()
          .catch(remove)
          .catch((error) =>
            log.warn({ err: error, path }, 'the lock file stays; it is passed over once this process ends'),
          )
      }
    } catch (error) {
      if (errorCode(error) === 'ENOSPC') {
        log.warn({ path }, 'no room for the lock file; a second process would not be kept out')
        return async () => undefined
      }
      if (!['EEXIST', 'EIO'].includes(errorCode(error) ?? ''))
        throw new UserError(`${folder} cannot be written to (${errorCode(error)})`, {
          cause: error,
          hint: 'check its owner and permissions, and that the disk is mounted for writing',
        })
    }
    const owner = await readOwner(path, { fileSystem, clock })
    if (owner && (await processes.isAlive(owner)))
      throw new UserError(`${folder} is in use by process ${owner.pid}`, {
        hint: `stop it (\`kill ${owner.pid}\`), or give this one a folder of its own`,
      })
    // Moved, not removed: if someone else took the lock over between our look and now, it is theirs that we hold here.
    const aside = `${path}.${own.pid}.stale`
    await fileSystem.rename(path, aside).catch(() => undefined)
    const moved = parseOwner(await readFileWhole(aside, fileSystem).catch(() => undefined))
    if (moved && (await processes.isAlive(moved))) await fileSystem.rename(aside, path).catch(() => undefined)
    else await fileSystem.remove(aside).catch(() => undefined)
  }
  throw new UserError(`${folder} is in use: other processes are taking its lock at the same time`, {
    hint: 'run one process a folder',
  })
}

/** A file that names nobody yet may just be being written. */
async function readOwner(path: string, { fileSystem, clock }: { fileSystem: FileSystem; clock: Clock }) {
  const read = async () => parseOwner(await readFileWhole(path, fileSystem).catch(() => undefined))
  const owner = await read()
  if (owner) return owner
  await clock.sleep(100)
  return await read()
}

export function parseOwner(bytes: Uint8Array | undefined): ProcessIdentity | undefined {
  try {
    const { pid, startedAt } = JSON.parse(Buffer.from(bytes ?? []).toString('utf8'))
    return Number.isSafeInteger(pid) && pid > 0 && typeof startedAt === 'string' ? { pid, startedAt } : undefined
  } catch {
    return undefined
  }
}
