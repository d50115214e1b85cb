/**
 * A network namespace of its own for one agent, joined to this machine by a pair of virtual cards: pulling that cable loses packets
 * as a real one does, and the kernel's TCP has to cope. Needs root and iproute2; is removed afterwards, also by the next run
 * when this one was killed.
 */
import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { promisify } from 'node:util'
import { messageOf } from '@tributary/runtime'
import { findOnPath } from '../servers.ts'

const run = promisify(execFile)

export interface NetworkNamespace {
  /** This machine, as seen from inside. */
  readonly machine: string
  /** What runs inside, as seen from here. */
  readonly host: string
  /** Starts a program inside, in its own place. */
  readonly wrapper: readonly string[]
  pullCable(): Promise<void>
  plugIn(): Promise<void>
  remove(): Promise<void>
}

const PREFIX = 'tributary-'

/** Why there can be none here; undefined when there can. */
export async function namespaceObstacle(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'needs root'
  for (const tool of ['ip', 'nsenter']) if (!(await findOnPath(tool))) return `needs the program ${tool}`
  const name = `${PREFIX}${process.pid}-try`
  try {
    await run('ip', ['netns', 'add', name])
    await run('ip', ['netns', 'del', name])
    return undefined
  } catch (error) {
    return `this machine allows none: ${messageOf(error).split('\n').at(-1)}`
  }
}

export async function createNetworkNamespace(): Promise<NetworkNamespace> {
  await removeLeftNamespaces()
  const name = `${PREFIX}${process.pid}`
  const outside = `trib${process.pid}`
  const inside = `${outside}i`
  // A /30 of the range for tests between networks (RFC 2544), told apart by the process.
  const third = process.pid % 256
  const fourth = (Math.floor(process.pid / 256) % 64) * 4
  const machine = `198.18.${third}.${fourth + 1}`
  const host = `198.18.${third}.${fourth + 2}`
  const ip = (...args: string[]) => run('ip', args)
  await ip('netns', 'add', name)
  try {
    await ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', inside)
    await ip('link', 'set', inside, 'netns', name)
    await ip('addr', 'add', `${machine}/30`, 'dev', outside)
    await ip('link', 'set', outside, 'up')
    await ip('-n', name, 'addr', 'add', `${host}/30`, 'dev', inside)
    await ip('-n', name, 'link', 'set', inside, 'up')
    await ip('-n', name, 'link', 'set', 'lo', 'up')
  } catch (error) {
    await ip('netns', 'del', name).catch(() => undefined)
    throw error
  }
  return {
    machine,
    host,
    wrapper: [(await findOnPath('nsenter')) ?? 'nsenter', `--net=/run/netns/${name}`],
    pullCable: async () => void (await ip('-n', name, 'link', 'set', inside, 'down')),
    plugIn: async () => void (await ip('-n', name, 'link', 'set', inside, 'up')),
    async remove() {
      await ip('link', 'del', outside).catch(() => undefined)
      await ip('netns', 'del', name).catch(() => undefined)
    },
  }
}

/** Those of runs that were killed. Their virtual cards go with them. */
async function removeLeftNamespaces(): Promise<void> {
  for (const name of await readdir('/run/netns').catch(() => [])) {
    const pid = new RegExp(`^${PREFIX}(\\d+)(-try)?$`).exec(name)?.[1]
    if (pid === undefined || isAlive(Number(pid))) continue
    await run('ip', ['link', 'del', `trib${pid}`]).catch(() => undefined)
    await run('ip', ['netns', 'del', name]).catch(() => undefined)
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
