/**
 * A disk in memory that behaves as badly as a real one may: it forgets what was not synced, tears writes, flips bits, runs
 * full and fails at a chosen operation. The twin of `nodeFileSystem` in tests.
 *
 * What it holds a program to: bytes are safe after `sync` of the file, names after `syncFolder` of the folder, nothing else.
 * After a `sync` that failed, the bytes may be gone although the next `sync` succeeds.
 */
import { posix } from 'node:path'
import type { FileSystem, OpenFile } from './file-system.ts'
import { createRandom, type Random } from './random.ts'

export type DiskOperation =
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'size'
  | 'close'
  | 'rename'
  | 'remove'
  | 'makeFolder'
  | 'list'
  | 'syncFolder'
  | 'freeBytes'
  | 'exists'

/** `crash`: the power goes in the middle of the operation. `short_write` and `bit_flip` do nothing to what moves no bytes. */
export type DiskFault = 'ENOSPC' | 'EIO' | 'short_write' | 'bit_flip' | 'crash'

export interface FaultyFileSystem {
  /** The disk as a process sees it from boot to crash; after a crash its operations never settle, as in a dead process. */
  mount(): FileSystem
  /** Operations since the disk was made. */
  readonly operations: number
  /** Asked before each operation; the index counts from 0. */
  faultAt: ((operation: { index: number; kind: DiskOperation; path: string }) => DiskFault | undefined) | undefined
  /** Bytes that all files may hold; more is refused with ENOSPC. */
  bytesMax: number
  /** The power goes: what was not synced is kept, torn or dropped, as chance has it. */
  crash(): void
  /** Crashes so far. */
  readonly crashes: number
  /** Resolves at the next crash. */
  readonly crashed: Promise<void>
  /** Bytes of a file as a reader sees them now. */
  contents(path: string): Uint8Array | undefined
  /** Puts bytes on the disk, durably, from outside. */
  put(path: string, bytes: Uint8Array): void
  /** Removes a file, durably, from outside. */
  discard(path: string): void
  /** Paths of all files, sorted. */
  files(): string[]
}

type Change = { readonly at: number; readonly bytes: Uint8Array } | { readonly truncateTo: number }

interface FileNode {
  readonly kind: 'file'
  /** What readers see. */
  bytes: Buffer
  /** What a power cut leaves for certain. */
  durable: Buffer
  /** Since the last sync, in order. */
  pending: Change[]
}

interface FolderNode {
  readonly kind: 'folder'
  entries: Map<string, FileNode | FolderNode>
  durable: Map<string, FileNode | FolderNode>
}

/** A change of names, not yet synced. */
interface NameChange {
  readonly folders: readonly FolderNode[]
  readonly apply: () => void
}

const SECTOR_BYTES = 512

const failure = (code: string, what: string) => Object.assign(new Error(`${code}: ${what}`), { code })
const newFolder = (): FolderNode => ({ kind: 'folder', entries: new Map(), durable: new Map() })
const newFile = (): FileNode => ({ kind: 'file', bytes: Buffer.alloc(0), durable: Buffer.alloc(0), pending: [] })

export function createFaultyFileSystem({ seed }: { seed: number }): FaultyFileSystem {
  const random = createRandom(seed)
  const root = newFolder()
  let names: NameChange[] = []
  let boot = 0
  let operations = 0
  let announceCrash: () => void = () => undefined
  let crashed = new Promise<void>((resolve) => {
    announceCrash = resolve
  })

  const disk: FaultyFileSystem = {
    mount: () => mount(boot),
    get operations() {
      return operations
    },
    faultAt: undefined,
    bytesMax: Number.POSITIVE_INFINITY,
    crash() {
      boot += 1
      const kept = names.slice(0, random.below(names.length + 1))
      for (const { apply } of kept) apply()
      names = []
      restore(root, random)
      announceCrash()
      crashed = new Promise<void>((resolve) => {
        announceCrash = resolve
      })
    },
    get crashes() {
      return boot
    },
    get crashed() {
      return crashed
    },
    contents(path) {
      const node = find(root, path)
      return node?.kind === 'file' ? node.bytes : undefined
    },
    put(path, bytes) {
      const { folder, name } = parentOf(path)
      const node = newFile()
      node.bytes = Buffer.from(bytes)
      node.durable = Buffer.from(bytes)
      folder.entries.set(name, node)
      folder.durable.set(name, node)
    },
    discard(path) {
      const { folder, name } = parentOf(path)
      folder.entries.delete(name)
      folder.durable.delete(name)
    },
    files: () => [...walk(root, '')].map(([path]) => path).sort(),
  }
  return disk

  function parentOf(path: string): { folder: FolderNode; name: string } {
    const folder = find(root, posix.dirname(path))
    if (folder?.kind !== 'folder') throw failure('ENOENT', posix.dirname(path))
    return { folder, name: posix.basename(path) }
  }
  function fileAt(path: string): FileNode {
    const node = find(root, path)
    if (node?.kind !== 'file') throw failure('ENOENT', path)
    return node
  }
  function changeNames(
    folders: readonly FolderNode[],
    change: (names: (f: FolderNode) => FolderNode['entries']) => void,
  ) {
    change((folder) => folder.entries)
    names.push({ folders, apply: () => change((folder) => folder.durable) })
  }
  function used(): number {
    return [...walk(root, '')].reduce((sum, [, file]) => sum + file.bytes.length, 0)
  }

  /** Takes a few turns of the event loop, so that operations interleave; then faults; then works. */
  async function operate<T>(
    mounted: number,
    kind: DiskOperation,
    path: string,
    work: (fault?: DiskFault) => T,
  ): Promise<T> {
    const dead = () => new Promise<never>(() => undefined)
    for (let turns = random.below(3); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
    if (mounted !== boot) return dead()
    const index = operations++
    const fault = disk.faultAt?.({ index, kind, path })
    if (fault === 'crash') {
      // Whether the operation came through to the cache before the power went is a matter of chance.
      if (random.below(2) === 0) work()
      disk.crash()
      return dead()
    }
    if (fault === 'ENOSPC' || (fault === 'EIO' && kind !== 'sync')) throw failure(fault, `${kind} ${path}`)
    return work(fault)
  }

  function mount(mounted: number): FileSystem {
    const op = <T>(kind: DiskOperation, path: string, work: (fault?: DiskFault) => T) =>
      operate(mounted, kind, path, work)
    return {
      open: (path, mode) =>
        op('open', path, () => {
          const { folder, name } = parentOf(path)
          const there = folder.entries.get(name)
          if (there?.kind === 'folder') throw failure('EISDIR', path)
          if (there && mode === 'create') throw failure('EEXIST', path)
          if (there) return openFile(there, path)
          if (mode === 'read') throw failure('ENOENT', path)
          if (used() >= disk.bytesMax) throw failure('ENOSPC', path)
          const node = newFile()
          changeNames([folder], (of) => of(folder).set(name, node))
          return openFile(node, path)
        }),
      rename: (from, to) =>
        op('rename', from, () => {
          const [source, target] = [parentOf(from), parentOf(to)]
          const node = source.folder.entries.get(source.name)
          if (!node) throw failure('ENOENT', from)
          changeNames([source.folder, target.folder], (of) => {
            of(source.folder).delete(source.name)
            of(target.folder).set(target.name, node)
          })
        }),
      remove: (path) =>
        op('remove', path, () => {
          fileAt(path)
          const { folder, name } = parentOf(path)
          changeNames([folder], (of) => of(folder).delete(name))
        }),
      makeFolder: (path) =>
        op('makeFolder', path, () => {
          let at = root
          for (const part of path.split('/').filter(Boolean)) {
            const parent = at
            const there = parent.entries.get(part)
            if (there?.kind === 'file') throw failure('EEXIST', path)
            at = there ?? newFolder()
            const made = at
            if (!there) changeNames([parent], (of) => of(parent).set(part, made))
          }
        }),
      list: (path) =>
        op('list', path, () => {
          const node = find(root, path)
          if (node?.kind !== 'folder') throw failure('ENOENT', path)
          return [...node.entries.keys()]
        }),
      syncFolder: (path) =>
        op('syncFolder', path, (fault) => {
          const folder = find(root, path)
          if (folder?.kind !== 'folder') throw failure('ENOENT', path)
          if (fault === 'EIO') throw failure('EIO', `syncFolder ${path}`)
          for (const { apply, folders } of names) if (folders.includes(folder)) apply()
          names = names.filter(({ folders }) => !folders.includes(folder))
        }),
      freeBytes: (path) => op('freeBytes', path, () => Math.max(0, disk.bytesMax - used())),
      exists: (path) => op('exists', path, () => find(root, path) !== undefined),
    }

    function openFile(node: FileNode, path: string): OpenFile {
      const change = (one: Change) => {
        node.bytes = apply(node.bytes, one)
        node.pending.push(one)
      }
      return {
        read: (position, length) =>
          op('read', path, (fault) => {
            const bytes = Buffer.from(node.bytes.subarray(position, position + length))
            return fault === 'bit_flip' ? flipped(bytes, random) : bytes
          }),
        write: (bytes, position) =>
          op('write', path, (fault) => {
            const grown = Math.max(0, position + bytes.length - node.bytes.length)
            const room = disk.bytesMax - used()
            let count = bytes.length
            if (grown > room) count = Math.max(0, bytes.length - (grown - Math.max(0, room)))
            if (fault === 'short_write') count = Math.min(count, Math.floor(bytes.length / 2))
            if (count === 0 && bytes.length > 0 && grown > room) throw failure('ENOSPC', path)
            const taken = Buffer.from(bytes.subarray(0, count))
            change({ at: position, bytes: fault === 'bit_flip' ? flipped(taken, random) : taken })
            return count
          }),
        sync: () =>
          op('sync', path, (fault) => {
            // A failed sync: the cache calls its pages clean, whatever became of them.
            for (const one of node.pending)
              if (fault !== 'EIO' || random.below(2) === 0) node.durable = apply(node.durable, one)
            node.pending = []
            if (fault === 'EIO') throw failure('EIO', `sync ${path}`)
          }),
        truncate: (length) => op('truncate', path, () => change({ truncateTo: length })),
        size: () => op('size', path, () => node.bytes.length),
        close: () => op('close', path, () => undefined),
      }
    }
  }
}

function find(root: FolderNode, path: string): FileNode | FolderNode | undefined {
  let at: FileNode | FolderNode | undefined = root
  for (const part of path.split('/').filter((p) => p !== '' && p !== '.'))
    at = at?.kind === 'folder' ? at.entries.get(part) : undefined
  return at
}

function* walk(folder: FolderNode, prefix: string): Generator<[string, FileNode]> {
  for (const [name, node] of folder.entries)
    if (node.kind === 'file') yield [`${prefix}/${name}`, node]
    else yield* walk(node, `${prefix}/${name}`)
}

function apply(bytes: Buffer, change: Change): Buffer {
  if ('truncateTo' in change) {
    const out = Buffer.alloc(change.truncateTo)
    bytes.copy(out)
    return out
  }
  const out = Buffer.alloc(Math.max(bytes.length, change.at + change.bytes.length))
  bytes.copy(out)
  out.set(change.bytes, change.at)
  return out
}

function flipped(bytes: Buffer, random: Random): Buffer {
  if (bytes.length > 0) {
    const at = random.below(bytes.length)
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random.below(8)), at)
  }
  return bytes
}

/** After a power cut: names as they were synced, and of each unsynced write all, a beginning, some sectors, or nothing. */
function restore(folder: FolderNode, random: Random): void {
  folder.entries = new Map(folder.durable)
  for (const node of folder.entries.values()) {
    if (node.kind === 'folder') {
      restore(node, random)
      continue
    }
    for (const change of node.pending)
      for (const part of survivors(change, random)) node.durable = apply(node.durable, part)
    node.pending = []
    node.bytes = Buffer.from(node.durable)
  }
}

function survivors(change: Change, random: Random): Change[] {
  const fate = random.below(4)
  if (fate === 0) return []
  if (fate === 1 || 'truncateTo' in change) return [change]
  if (fate === 2) return [{ at: change.at, bytes: change.bytes.subarray(0, random.below(change.bytes.length + 1)) }]
  const sectors: Change[] = []
  for (let at = 0; at < change.bytes.length; ) {
    const end = Math.min(change.bytes.length, at + SECTOR_BYTES - ((change.at + at) % SECTOR_BYTES))
    if (random.below(2) === 0) sectors.push({ at: change.at + at, bytes: change.bytes.subarray(at, end) })
    at = end
  }
  return sectors
}
