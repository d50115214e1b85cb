/**
 * A wall clock that lies, for one agent: libfaketime is preloaded into it, and a file says by how much. Where mounts are allowed the
 * agent can also be made to believe that its machine was started anew, by another boot id.
 */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { messageOf, systemClock } from '@tributary/runtime'
import { fakedWallClock, findLibfaketime } from '../servers.ts'

export interface LyingClock {
  /** Starts a program in its own place, which believes the boot id of `reboot`. */
  readonly wrapper: readonly string[]
  readonly environment: Record<string, string>
  /** The clock jumps: it is wrong by so much from now on. */
  setOffset(seconds: number): Promise<void>
  /** The first seconds of 1970, where a clock without a battery begins. */
  setTo1970(): Promise<void>
  /** The next start is the first of another boot, where that can be brought about. */
  reboot(): Promise<void>
}

const BOOT_ID = '/proc/sys/kernel/random/boot_id'

/** Starts a program in a mount namespace of its own, where the file stands for the boot id. */
const withBootId = (bootFile: string): string[] => [
  ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c'],
  ...[`mount --bind "$0" ${BOOT_ID} && exec "$@"`, bootFile],
]

/** Why there can be none here; undefined when there can. */
export const lyingClockObstacle = (say: (text: string) => void): Promise<string | undefined> =>
  findLibfaketime(say).then(
    () => undefined,
    (error: unknown) => `needs libfaketime: ${messageOf(error)}`,
  )

/** Why no agent can be made to believe in another boot; undefined when one can. */
export async function rebootObstacle(tryFolder: string): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'needs root'
  const bootFile = join(tryFolder, 'boot-id')
  try {
    await mkdir(tryFolder, { recursive: true })
    await writeFile(bootFile, `${randomUUID()}\n`)
    const [program = '', ...rest] = withBootId(bootFile)
    await promisify(execFile)(program, [...rest, 'true'])
    return undefined
  } catch (error) {
    return `this machine allows none: ${messageOf(error).trim().split('\n').at(-1)}`
  }
}

export async function createLyingClock(folder: string, { canReboot }: { canReboot: boolean }): Promise<LyingClock> {
  const offsetFile = join(folder, 'clock-offset')
  const bootFile = join(folder, 'boot-id')
  const setOffset = (seconds: number) => writeFile(offsetFile, `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}\n`)
  const reboot = () => writeFile(bootFile, `${randomUUID()}\n`)
  await setOffset(0)
  await reboot()
  return {
    wrapper: canReboot ? withBootId(bootFile) : [],
    environment: fakedWallClock(await findLibfaketime(), offsetFile),
    setOffset,
    setTo1970: () => setOffset(-Math.floor(systemClock.wallMs() / 1_000) + 10),
    reboot,
  }
}
