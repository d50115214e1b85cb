/**
 * Agents and their passwords: lines `agent:scrypt$N$r$p$salt$hash` (salt and hash in base64), `#` begins a comment.
 * Verifying takes 16 MiB and some 50 ms of the thread pool that fsync needs too, so it is done one at a time, few may
 * wait, and a password once verified is remembered as a digest under a key of this process.
 */
import { createHmac, randomBytes, type ScryptOptions, scrypt, scryptSync, timingSafeEqual } from 'node:crypto'
import { chmod, chown, readFile, stat } from 'node:fs/promises'
import { isName, NAME_RULE } from '@tributary/protocol'
import { errorCode, type Logger, messageOf, readFileWhole, UserError, writeFileAtomic } from '@tributary/runtime'

const COST = { N: 16_384, r: 8, p: 1 } as const
const SALT_BYTES = 16
const HASH_BYTES = 32
const FILE_BYTES_MAX = 8 * 1024 * 1024
const VERIFICATIONS_WAITING_MAX = 64
const PASSWORD_BYTES_MAX = 1_024
const MEMORY_BYTES_MAX = 256 * 1024 * 1024

interface Credential {
  readonly text: string
  readonly options: ScryptOptions
  readonly salt: Buffer
  readonly hash: Buffer
}

/** `scrypt$N$r$p$salt$hash`, what stands behind `agent:` in the file. */
export function hashPassword(password: string): string {
  if (password.length === 0) throw new UserError('a password must not be empty')
  if (Buffer.byteLength(password) > PASSWORD_BYTES_MAX)
    throw new UserError(`a password has at most ${PASSWORD_BYTES_MAX} bytes`)
  const salt = randomBytes(SALT_BYTES)
  const hash = scryptSync(password, salt, HASH_BYTES, COST)
  return `scrypt$${COST.N}$${COST.r}$${COST.p}$${salt.toString('base64')}$${hash.toString('base64')}`
}

/** Sets an agent's password in the file, which is created when missing; other lines stay as they are. */
export async function setPassword(file: string, agent: string, password: string): Promise<void> {
  if (!isName(agent)) throw new UserError(`"${agent}" is not a name for an agent`, { hint: NAME_RULE })
  const bytes = await readFileWhole(file)
  const lines = bytes ? Buffer.from(bytes).toString('utf8').replace(/\n$/, '').split('\n') : []
  const line = `${agent}:${hashPassword(password)}`
  const at = lines.findIndex((other) => other.startsWith(`${agent}:`))
  if (at < 0) lines.push(line)
  else lines[at] = line
  const before = await stat(file).catch(() => undefined)
  await writeFileAtomic(file, Buffer.from(`${lines.filter((text, i) => text !== '' || i > 0).join('\n')}\n`))
  // Readable for whoever could read it before: root may set a password for the gateway's own user.
  await chmod(file, before ? before.mode & 0o777 : 0o600)
  if (before && process.getuid?.() === 0) await chown(file, before.uid, before.gid)
}

/** @throws Error that says what is wrong with the line */
function parseCredential(text: string): Credential {
  const [scheme, N, r, p, salt, hash, ...rest] = text.split('$')
  if (scheme !== 'scrypt' || hash === undefined || rest.length > 0) throw new Error('must be scrypt$N$r$p$salt$hash')
  const options = { N: Number(N), r: Number(r), p: Number(p), maxmem: MEMORY_BYTES_MAX }
  const { N: cost, r: blocks, p: parallel } = options
  if (![cost, blocks, parallel].every((n) => Number.isInteger(n) && n >= 1) || (cost & (cost - 1)) !== 0 || cost < 2)
    throw new Error('N must be a power of two, r and p whole numbers')
  if (128 * cost * blocks * parallel > MEMORY_BYTES_MAX / 2) throw new Error('N, r and p take too much memory')
  const credential = {
    text,
    options,
    salt: Buffer.from(salt as string, 'base64'),
    hash: Buffer.from(hash, 'base64'),
  }
  if (credential.salt.length < 8 || credential.hash.length !== HASH_BYTES)
    throw new Error(`the salt must have at least 8 bytes, the hash ${HASH_BYTES}`)
  return credential
}

export function parseCredentials(text: string): { agents: Map<string, Credential>; mistakes: string[] } {
  const agents = new Map<string, Credential>()
  const mistakes: string[] = []
  for (const [i, line] of text.split('\n').entries()) {
    const trimmed = line.trim()
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const colon = trimmed.indexOf(':')
    const agent = trimmed.slice(0, Math.max(0, colon))
    try {
      if (!isName(agent)) throw new Error('must begin with the name of an agent and ":"')
      if (agents.has(agent)) throw new Error(`${agent} has a line already`)
      agents.set(agent, parseCredential(trimmed.slice(colon + 1)))
    } catch (error) {
      mistakes.push(`line ${i + 1}: ${messageOf(error)}`)
    }
  }
  return { agents, mistakes }
}

export type Verdict = 'ok' | 'refused' | 'busy'

export interface Credentials {
  verify(agent: string, password: Uint8Array): Promise<Verdict>
  /** Reads the file when it changed since; `force` reads it anyhow. @throws UserError only when it has never been read */
  reload(options?: { force?: boolean }): Promise<void>
  /** Called with the agents whose line changed or went, after a reload. */
  onRevoked(callback: (agents: readonly string[]) => void): void
  readonly size: number
}

export function createCredentials(file: string, { log }: { log: Logger }): Credentials {
  const key = randomBytes(32)
  /** Agent → digest of the credential and the password that fits it. */
  const verified = new Map<string, Buffer>()
  const unknownAgent = parseCredential(`scrypt$${COST.N}$${COST.r}$${COST.p}$${'A'.repeat(24)}$${'A'.repeat(43)}=`)
  let agents: Map<string, Credential> | undefined
  let seen = ''
  let waiting = 0
  let last: Promise<unknown> = Promise.resolve()
  let revoked: (agents: readonly string[]) => void = () => undefined

  const read = async (force: boolean) => {
    const { mtimeMs, size, ino } = await stat(file)
    const version = `${mtimeMs}/${size}/${ino}`
    if (version === seen && !force) return undefined
    if (size > FILE_BYTES_MAX) throw new Error(`larger than ${FILE_BYTES_MAX} bytes`)
    const text = await readFile(file, 'utf8')
    seen = version
    return parseCredentials(text)
  }
  const hashOf = (password: Uint8Array, credential: Credential): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      scrypt(password, credential.salt, HASH_BYTES, credential.options, (error, hash) =>
        error ? reject(error) : resolve(hash),
      )
    })
  return {
    get size() {
      return agents?.size ?? 0
    },
    onRevoked(callback) {
      revoked = callback
    },
    async verify(agent, password) {
      if (password.length > PASSWORD_BYTES_MAX) return 'refused'
      const credential = agents?.get(agent)
      const digest = createHmac('sha256', key).update(`${credential?.text}\0`).update(password).digest()
      const known = verified.get(agent)
      if (credential && known && timingSafeEqual(known, digest)) return 'ok'
      if (waiting >= VERIFICATIONS_WAITING_MAX) return 'busy'
      waiting += 1
      // A name that we do not know takes as long as one that we do.
      const mine = last.then(() => hashOf(password, credential ?? unknownAgent))
      last = mine.catch(() => undefined)
      try {
        const hash = await mine
        if (!credential || !timingSafeEqual(hash, credential.hash)) return 'refused'
        if (agents?.get(agent) !== credential) return 'refused'
        verified.set(agent, digest)
        return 'ok'
      } finally {
        waiting -= 1
      }
    },
    async reload({ force = false } = {}) {
      let found: Awaited<ReturnType<typeof read>>
      try {
        found = await read(force)
      } catch (error) {
        const why = errorCode(error) === 'ENOENT' ? 'does not exist' : `cannot be read: ${messageOf(error)}`
        const hint = `create it with \`tributary gateway passwd ${file} AGENT\``
        if (!agents) throw new UserError(`credentials_file ${file} ${why}`, { cause: error, hint })
        if (seen !== why) log.error({ file, hint }, `credentials_file ${why}; the agents read before stay valid`)
        seen = why
        return
      }
      if (!found) return
      if (found.mistakes.length > 0)
        log.error({ file, mistakes: found.mistakes.slice(0, 20) }, 'lines of credentials_file were left out: mend them')
      if (found.agents.size === 0)
        log.warn(
          { file, hint: `add one with \`tributary gateway passwd ${file} AGENT\`` },
          'credentials_file names no agent: nobody can connect',
        )
      const before = agents
      agents = found.agents
      const changed = [...(before ?? [])]
        .filter(([agent, credential]) => agents?.get(agent)?.text !== credential.text)
        .map(([agent]) => agent)
      for (const agent of changed) verified.delete(agent)
      if (before) log.info({ agents: agents.size, revoked: changed }, 'credentials_file was read again')
      if (changed.length > 0) revoked(changed)
    },
  }
}
