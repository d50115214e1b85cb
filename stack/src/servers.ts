/**
 * Finds the servers that the pipeline stands on: on PATH, else unpacked before, else unpacked now from the distribution's
 * packages. Nothing is installed system-wide, nothing needs root, no service is started behind anybody's back.
 */
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { messageOf, systemClock, UserError } from '@tributary/runtime'
import { relocateProgram } from './relocate-program.ts'
import { repositoryFolder } from './repository.ts'

const run = promisify(execFile)

export type ServerName = 'nats-server' | 'influxd' | 'mosquitto' | 'prometheus-alertmanager' | 'chromium'

export interface FoundServer {
  readonly path: string
  /** What the program says of itself, such as `2.9.10`. */
  readonly version: string
  /** To be added to the environment of the process. */
  readonly environment: Record<string, string>
}

interface Recipe {
  readonly package: string
  /** More packages that it does not depend on formally, but needs. */
  readonly also?: readonly string[]
  /** Where the program lies in the unpacked packages. */
  readonly unpacked: string
  readonly versionArguments: readonly string[]
  /** A folder of the system that the program has compiled in. */
  readonly relocated?: string
}

const RECIPES: Record<ServerName, Recipe> = {
  'nats-server': { package: 'nats-server', unpacked: 'usr/sbin/nats-server', versionArguments: ['--version'] },
  influxd: { package: 'influxdb', unpacked: 'usr/bin/influxd', versionArguments: ['version'] },
  mosquitto: { package: 'mosquitto', unpacked: 'usr/sbin/mosquitto', versionArguments: ['-h'] },
  'prometheus-alertmanager': {
    package: 'prometheus-alertmanager',
    unpacked: 'usr/bin/prometheus-alertmanager',
    versionArguments: ['--version'],
    relocated: '/usr/share/prometheus/alertmanager',
  },
  chromium: {
    package: 'chromium',
    also: ['fonts-dejavu-core'],
    unpacked: 'usr/lib/chromium/chromium',
    versionArguments: ['--version'],
  },
}

/** Debian's name of this machine's architecture, as folders of libraries have it. */
const TRIPLETS: Partial<Record<NodeJS.Architecture, string>> = {
  x64: 'x86_64-linux-gnu',
  arm64: 'aarch64-linux-gnu',
  arm: 'arm-linux-gnueabihf',
}
const LIBFAKETIME = {
  package: 'libfaketime',
  unpacked: `usr/lib/${TRIPLETS[process.arch] ?? process.arch}/faketime/libfaketime.so.1`,
}
const LOCK_WAIT_MS_MAX = 10 * 60_000
const LIBRARY_ROUNDS_MAX = 6
const FONTS_FILE = 'fonts.conf'

export const serversFolder = (): string => join(repositoryFolder, '.tributary', 'servers')

/**
 * @param say is told about long work, a sentence each
 * @throws UserError when the server is neither there nor to be had
 */
export async function findServer(
  name: ServerName,
  say: (text: string) => void = () => undefined,
): Promise<FoundServer> {
  const recipe = RECIPES[name]
  const onPath = await findOnPath(name)
  if (onPath) return described(name, onPath, {})
  const folder = join(serversFolder(), name)
  const path = join(folder, recipe.unpacked)
  if (!(await isExecutable(path)))
    await withLock(folder, async () => {
      const hint = `install ${name} (package ${recipe.package}) yourself and see that it is on PATH`
      if (!(await isExecutable(path))) await unpack(recipe, folder, say, hint)
    })
  return described(name, path, await unpackedEnvironment(folder))
}

/**
 * libfaketime, to be preloaded into a process whose wall clock shall lie: installed, else unpacked as servers are.
 * @returns the path for `LD_PRELOAD`
 * @throws UserError when it is neither there nor to be had
 */
export async function findLibfaketime(say: (text: string) => void = () => undefined): Promise<string> {
  const installed = join('/', LIBFAKETIME.unpacked)
  if (await isReadable(installed)) return installed
  const folder = join(serversFolder(), LIBFAKETIME.package)
  const path = join(folder, LIBFAKETIME.unpacked)
  const hint = `install the package ${LIBFAKETIME.package} yourself`
  if (!(await isReadable(path)))
    await withLock(folder, async () => {
      if (!(await isReadable(path))) await unpack(LIBFAKETIME, folder, say, hint)
    })
  return path
}

/**
 * What a process's environment needs for its wall clock to lie by what a file says; its monotonic clock stays right.
 * @param offsetFile holds an offset such as `+1y`, `-90d`, `+3600`; it is read at every look at the clock, so rewriting it makes the clock jump
 */
export const fakedWallClock = (libfaketime: string, offsetFile: string): Record<string, string> => ({
  LD_PRELOAD: libfaketime,
  FAKETIME_TIMESTAMP_FILE: offsetFile,
  FAKETIME_NO_CACHE: '1',
  DONT_FAKE_MONOTONIC: '1',
})

export async function findOnPath(name: string): Promise<string | undefined> {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'])
    if (folder && (await isExecutable(join(folder, name)))) return join(folder, name)
  return undefined
}

const isAccessible = (path: string, mode: number): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  )
const isExecutable = (path: string): Promise<boolean> => isAccessible(path, constants.X_OK)
const isReadable = (path: string): Promise<boolean> => isAccessible(path, constants.R_OK)

async function described(name: ServerName, path: string, environment: Record<string, string>): Promise<FoundServer> {
  try {
    const { stdout, stderr } = await run(path, [...RECIPES[name].versionArguments], {
      env: { ...process.env, ...environment },
      timeout: 20_000,
    }).catch(
      // mosquitto -h exits with 3, having said what we want to know
      (error) =>
        typeof error.code === 'number' ? (error as { stdout: string; stderr: string }) : Promise.reject(error),
    )
    return { path, environment, version: /\d+\.\d+(\.\d+)*/.exec(stdout + stderr)?.[0] ?? 'unknown' }
  } catch (error) {
    throw new UserError(`${path} does not run: ${messageOf(error)}`, {
      cause: error,
      hint: `remove ${serversFolder()} and try again, or install ${RECIPES[name].package} yourself`,
    })
  }
}

async function unpack(
  recipe: Pick<Recipe, 'package' | 'also' | 'unpacked' | 'relocated'>,
  folder: string,
  say: (text: string) => void,
  hint: string,
): Promise<void> {
  for (const tool of ['apt-get', 'dpkg-deb'])
    if (!(await findOnPath(tool)))
      throw new UserError(`${recipe.package} is not installed, and without ${tool} it cannot be unpacked`, { hint })
  const unpacking = `${folder}.unpacking`
  await rm(unpacking, { recursive: true, force: true })
  await mkdir(unpacking, { recursive: true })
  say(`unpacking the distribution's package ${recipe.package} (once): it is not installed`)
  try {
    const apt = await createApt(say)
    const done = new Set<string>()
    await apt.unpack([recipe.package, ...(recipe.also ?? [])], unpacking, done)
    const program = join(unpacking, recipe.unpacked)
    for (
      let round = 0;
      round < LIBRARY_ROUNDS_MAX && (await missingLibraries(program, unpacking)).length > 0;
      round++
    ) {
      const more = await apt.dependencies([...done])
      const fresh = more.filter((p) => !done.has(p))
      if (fresh.length === 0) break
      await apt.unpack(fresh, unpacking, done)
    }
    const missing = await missingLibraries(program, unpacking)
    if (missing.length > 0) throw new Error(`these libraries are missing: ${missing.join(', ')}`)
    if (recipe.relocated) await relocateProgram(program, recipe.relocated, join(unpacking, recipe.relocated))
  } catch (error) {
    await rm(unpacking, { recursive: true, force: true })
    throw new UserError(`${recipe.package} could not be unpacked: ${messageOf(error)}`, { cause: error, hint })
  }
  await writeFontsFile(unpacking, folder)
  await rm(folder, { recursive: true, force: true })
  await rename(unpacking, folder)
}

interface Apt {
  unpack(packages: readonly string[], folder: string, done: Set<string>): Promise<void>
  /** Direct dependencies that are not installed on this machine. */
  dependencies(packages: readonly string[]): Promise<string[]>
}

/** apt with the machine's package lists, or, where those are missing or stale, with lists of our own. */
async function createApt(say: (text: string) => void): Promise<Apt> {
  const own = join(repositoryFolder, '.tributary', 'apt')
  const ownLists = [
    `Dir::State::lists=${join(own, 'lists')}`,
    `Dir::Cache=${join(own, 'cache')}`,
    'Debug::NoLocking=1',
    'APT::Sandbox::User=root',
  ].flatMap((option) => ['-o', option])
  const fetched = (await readdir(join(own, 'lists')).catch(() => [])).some((name) => name.includes('_Packages'))
  let options: string[] = fetched ? ownLists : []
  const useOwnLists = async () => {
    say('fetching the package lists (kept here, not in the system)')
    await mkdir(join(own, 'lists', 'partial'), { recursive: true })
    await mkdir(join(own, 'cache', 'archives', 'partial'), { recursive: true })
    options = ownLists
    await run('apt-get', [...options, '-qq', 'update'], { timeout: 300_000, maxBuffer: 1 << 24 })
  }
  const download = async (packages: readonly string[], folder: string) => {
    const fetch = () =>
      run('apt-get', [...options, '-qq', 'download', ...packages], {
        cwd: folder,
        timeout: 600_000,
        maxBuffer: 1 << 24,
      })
    try {
      await fetch()
    } catch (error) {
      if (options.length > 0) throw error
      await useOwnLists()
      await fetch()
    }
  }
  return {
    async unpack(packages, folder, done) {
      const debs = join(folder, '.debs')
      await mkdir(debs, { recursive: true })
      await download(packages, debs)
      for (const deb of await readdir(debs)) await run('dpkg-deb', ['-x', join(debs, deb), folder])
      await rm(debs, { recursive: true })
      for (const name of packages) done.add(name)
    },
    async dependencies(packages) {
      const { stdout } = await run(
        'apt-cache',
        [
          ...options,
          'depends',
          '--no-recommends',
          '--no-suggests',
          '--no-conflicts',
          '--no-breaks',
          '--no-replaces',
          '--no-enhances',
          ...packages,
        ],
        {
          maxBuffer: 1 << 24,
        },
      )
      const names = [...stdout.matchAll(/^\s+\|?(?:Pre)?Depends: ([a-z0-9][a-z0-9+.-]*)$/gm)].map((m) => m[1] as string)
      const missing: string[] = []
      for (const name of new Set(names)) {
        const status = await run('dpkg-query', ['--status', name]).catch(() => ({ stdout: '' }))
        if (!status.stdout.includes('install ok installed') && /^(lib|fonts-|[a-z0-9-]*-common)/.test(name))
          missing.push(name)
      }
      return missing
    },
  }
}

/** Folders of the unpacked packages that hold shared libraries. */
async function libraryFolders(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const top of ['usr/lib', 'lib']) {
    const entries = await readdir(join(folder, top), { withFileTypes: true }).catch(() => [])
    if (entries.some((e) => e.name.includes('.so'))) found.push(join(folder, top))
    for (const entry of entries)
      if (entry.isDirectory() && entry.name.includes('-linux-gnu'))
        found.push(join(folder, top, entry.name), join(folder, top, entry.name, 'pulseaudio'))
  }
  return found
}

/** Where a program unpacked into a folder finds its libraries and fonts. */
async function unpackedEnvironment(folder: string): Promise<Record<string, string>> {
  const fonts = join(folder, FONTS_FILE)
  const hasFonts = await access(fonts).then(
    () => true,
    () => false,
  )
  return { ...(await libraryEnvironment(folder)), ...(hasFonts ? { FONTCONFIG_FILE: fonts } : {}) }
}

/** Fontconfig knows only the system's folders; a page without any font shows nothing. */
async function writeFontsFile(unpacked: string, folder: string): Promise<void> {
  const fonts = 'usr/share/fonts'
  if ((await readdir(join(unpacked, fonts)).catch(() => [])).length === 0) return
  const text = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>${join(folder, fonts)}</dir><dir>/usr/share/fonts</dir><cachedir>${join(folder, 'font-cache')}</cachedir></fontconfig>
`
  await writeFile(join(unpacked, FONTS_FILE), text)
}

async function libraryEnvironment(folder: string): Promise<Record<string, string>> {
  const folders = await libraryFolders(folder)
  if (folders.length === 0) return {}
  const inherited = process.env['LD_LIBRARY_PATH']
  return { LD_LIBRARY_PATH: [...folders, ...(inherited ? [inherited] : [])].join(':') }
}

async function missingLibraries(program: string, folder: string): Promise<string[]> {
  const environment = await libraryEnvironment(folder)
  const { stdout } = await run('ldd', [program], { env: { ...process.env, ...environment } }).catch(() => ({
    stdout: '',
  }))
  return [...stdout.matchAll(/^\s*(\S+) => not found/gm)].map((m) => m[1] as string)
}

/** Several test processes may want the same server at once: one unpacks, the others wait. */
async function withLock(folder: string, work: () => Promise<void>): Promise<void> {
  const lock = `${folder}.lock`
  await mkdir(join(folder, '..'), { recursive: true })
  for (let waitedMs = 0; ; waitedMs += 250) {
    try {
      await mkdir(lock)
      break
    } catch {
      const owner = await readdir(lock).catch(() => [])
      if (waitedMs > 2_000 && !owner.some(isAlive)) await rm(lock, { recursive: true, force: true })
      else if (waitedMs > LOCK_WAIT_MS_MAX)
        throw new UserError(`another process has been unpacking for ten minutes`, { hint: `remove ${lock}` })
      else await systemClock.sleep(250)
    }
  }
  try {
    await writeFile(join(lock, String(process.pid)), '')
    await work()
  } finally {
    await rm(lock, { recursive: true, force: true })
  }
}

function isAlive(pid: string): boolean {
  try {
    process.kill(Number(pid), 0)
    return true
  } catch {
    return false
  }
}
