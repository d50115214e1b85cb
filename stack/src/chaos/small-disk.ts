/** A disk of some megabytes under a spool, so that it can be filled without harm to anybody: a tmpfs, which needs root to be mounted. */
import { execFile } from 'node:child_process'
import { mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { errorCode, messageOf } from '@tributary/runtime'
import { isAlive } from './network-namespace.ts'

const run = promisify(execFile)

export interface SmallDisk {
  readonly folder: string
  /** Leaves not one free block. */
  fill(): Promise<void>
  /** Takes what `fill` wrote away again. */
  clear(): Promise<void>
  unmount(): Promise<void>
}

const LABEL = 'tributary-chaos-'
const FILLER = 'filler'

/** Why none can be mounted here; undefined when it can. */
export async function mountObstacle(tryFolder: string): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'needs root'
  try {
    await (await mountSmallDisk(tryFolder, 1)).unmount()
    return undefined
  } catch (error) {
    return `this machine allows no mount: ${messageOf(error).split('\n').at(-1)}`
  }
}

export async function mountSmallDisk(folder: string, mebibytes: number): Promise<SmallDisk> {
  await mkdir(folder, { recursive: true })
  await run('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, `${LABEL}${process.pid}`, folder])
  const filler = join(folder, FILLER)
  return {
    folder,
    async fill() {
      const file = await open(filler, 'a')
      try {
        for (let chunk = Buffer.alloc(1024 * 1024, 1); chunk.length > 0; )
          try {
            await file.write(chunk)
          } catch (error) {
            if (errorCode(error) !== 'ENOSPC') throw error
            chunk = chunk.subarray(0, chunk.length > 4096 ? 4096 : 0)
          }
      } finally {
        await file.close()
      }
    },
    clear: () => rm(filler, { force: true }),
    async unmount() {
      // Lazily: a process that is just ending may still have a file open.
      await run('umount', ['--lazy', folder])
    },
  }
}

/** Those of runs that were killed. */
export async function unmountLeftDisks(): Promise<void> {
  for (const line of (await readFile('/proc/mounts', 'utf8').catch(() => '')).split('\n')) {
    const [label = '', folder = ''] = line.split(' ')
    if (label.startsWith(LABEL) && !isAlive(Number(label.slice(LABEL.length))))
      await run('umount', ['--lazy', folder]).catch(() => undefined)
  }
}
