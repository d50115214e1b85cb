/** A disk that is full until somebody makes room. */
import { execFile } from 'node:child_process'
import { mkdir, rm, stat, statfs, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const MEBIBYTE = 1024 ** 2
const DISK_BYTES = MEBIBYTE
const SHORTAGE_BYTES = 1024 * MEBIBYTE

export interface FullDisk {
  /** In words: what it really is. */
  readonly kind: string
  /** Where a spool may be put before `fill`. */
  readonly folder: string
  /** What an agent is told to keep free. */
  readonly freeDisk: string
  fill(): Promise<void>
  /** A little less is free than must stay free: giving up old records helps. Undefined where that cannot be had. */
  readonly nearlyMakeRoom: (() => Promise<void>) | undefined
  makeRoom(): Promise<void>
  remove(): Promise<void>
}

/** What an agent must keep free on the small one, and how much less `nearlyMakeRoom` leaves. */
const FREE_KIBIBYTES = 64
const LACKING_KIBIBYTES = 4

/** A small file system of its own where we may mount one, and every byte of it taken; else one that has less free than must stay free. */
export async function createFullDisk(folder: string): Promise<FullDisk> {
  await mkdir(folder, { recursive: true })
  const ballast = join(folder, 'ballast')
  const makeRoom = () => rm(ballast)
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tributary-test', folder])
  } catch {
    const { bavail, bsize } = await statfs(folder)
    return {
      kind: 'no disk of its own could be mounted: one with less free than free_disk',
      folder,
      freeDisk: `${Math.max(1, Math.floor((bavail * bsize - SHORTAGE_BYTES / 2) / MEBIBYTE))}MiB`,
      fill: async () => void (await run('fallocate', ['-l', String(SHORTAGE_BYTES), ballast])),
      nearlyMakeRoom: undefined,
      makeRoom,
      remove: () => rm(folder, { recursive: true, force: true }),
    }
  }
  return {
    kind: `a disk of ${DISK_BYTES} bytes, all of them taken`,
    folder,
    freeDisk: `${FREE_KIBIBYTES}KiB`,
    async fill() {
      const whole = await writeFile(ballast, Buffer.alloc(DISK_BYTES)).then(
        () => true,
        (error) => {
          if (error.code !== 'ENOSPC') throw error
          return false
        },
      )
      const { bavail } = await statfs(folder)
      if (whole || bavail > 0) throw new Error(`${folder} is not full: ${bavail} blocks are free`)
    },
    async nearlyMakeRoom() {
      const { size } = await stat(ballast)
      await truncate(ballast, size - (FREE_KIBIBYTES - LACKING_KIBIBYTES) * 1024)
    },
    makeRoom,
    async remove() {
      await run('umount', [folder])
      await rm(folder, { recursive: true })
    },
  }
}
