/**
 * Who may see the page and change flows: one login. What is kept is a bcrypt hash, and keys, readable for the site view alone; the
 * password itself is printed once, when it is made up.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, messageOf, readFileWhole, UserError, writeFileAtomic } from '@tributary/runtime'
import { compare, hash } from 'bcryptjs'
import { z } from 'zod'

export const USER = 'admin'
const HASH_ROUNDS = 10
/** bcrypt looks at no more. */
const PASSWORD_BYTES_MAX = 72
const PASSWORD_BYTES_MIN = 8
const SESSION_MS = 12 * 3_600_000

const loginSchema = z.strictObject({
  version: z.literal(1),
  user: z.string(),
  passwordHash: z.string().startsWith('$2'),
  /** Signs sessions: a new password has a new one, so all sessions end. */
  sessionKey: z.string().min(32),
  /** Node-RED encrypts with it what nodes keep secret. */
  credentialSecret: z.string().min(32),
})
type Kept = z.infer<typeof loginSchema>

export interface Login {
  readonly passwordHash: string
  readonly credentialSecret: string
  verify(user: string, password: string): Promise<boolean>
  /** What a browser gets to show that it knew the password. */
  openSession(): { readonly value: string; readonly seconds: number }
  isSession(value: string): boolean
}

const fileIn = (folder: string) => join(folder, 'login.json')

/** Reads the login of the folder; makes one up when there is none. @param onGenerated told the password, once and for all */
export async function openLogin(
  folder: string,
  { clock, onGenerated }: { clock: Clock; onGenerated: (password: string) => void },
): Promise<Login> {
  let kept = await readKept(folder)
  if (!kept) {
    const password = generatePassword()
    kept = await setPassword(folder, password)
    onGenerated(password)
  }
  const { passwordHash, credentialSecret, sessionKey } = kept
  const sign = (expiresMs: number) =>
    createHmac('sha256', sessionKey).update(`session ${expiresMs}`).digest('base64url')
  return {
    passwordHash,
    credentialSecret,
    verify: async (user, password) => (await compare(password, passwordHash)) && user === USER,
    openSession() {
      const expiresMs = Math.round(clock.wallMs() + SESSION_MS)
      return { value: `${expiresMs}.${sign(expiresMs)}`, seconds: SESSION_MS / 1_000 }
    },
    isSession(value) {
      const [expires = '', signature = ''] = value.split('.')
      const expiresMs = Number(expires)
      if (!/^\d{1,15}$/.test(expires) || expiresMs < clock.wallMs()) return false
      const expected = Buffer.from(sign(expiresMs))
      const found = Buffer.from(signature)
      return found.length === expected.length && timingSafeEqual(found, expected)
    },
  }
}

export const generatePassword = (): string => randomBytes(15).toString('base64url')

/** Sets the password; sessions end when the site view is started again. @throws UserError */
export async function setPassword(folder: string, password: string): Promise<Kept> {
  const bytes = Buffer.byteLength(password)
  if (bytes < PASSWORD_BYTES_MIN || bytes > PASSWORD_BYTES_MAX)
    throw new UserError(`a password has ${PASSWORD_BYTES_MIN} to ${PASSWORD_BYTES_MAX} bytes`)
  const before = await readKept(folder).catch(() => undefined)
  const kept: Kept = {
    version: 1,
    user: USER,
    passwordHash: await hash(password, HASH_ROUNDS),
    sessionKey: randomBytes(32).toString('base64url'),
    credentialSecret: before?.credentialSecret ?? randomBytes(32).toString('base64url'),
  }
  const file = fileIn(folder)
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await writeFileAtomic(file, Buffer.from(`${JSON.stringify(kept, null, 2)}\n`))
    await chmod(file, 0o600)
  } catch (error) {
    throw new UserError(`the login cannot be kept in ${file}: ${messageOf(error)}`, { cause: error })
  }
  return kept
}

async function readKept(folder: string): Promise<Kept | undefined> {
  const file = fileIn(folder)
  try {
    const bytes = await readFileWhole(file)
    return bytes && loginSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch (error) {
    throw new UserError(`${file} cannot be used: ${messageOf(error)}`, {
      cause: error,
      hint: 'set a password anew with `tributary site-view passwd --config FILE`',
    })
  }
}
