/** Text into a file or standard output, no faster than it is taken. */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { errorCode, messageOf, UserError } from '@tributary/runtime'

export interface TextOutput {
  write(text: string): Promise<void>
  /** When it is all there. */
  close(): Promise<void>
}

/**
 * @param path standard output when left out
 * @throws UserError, also from `write` and `close`, when the file cannot be made or written
 */
export async function openTextOutput(
  path: string | undefined,
  { overwrite, signal }: { overwrite: boolean; signal: AbortSignal },
): Promise<TextOutput> {
  const stream = path === undefined ? process.stdout : createWriteStream(path, { flags: overwrite ? 'w' : 'wx' })
  let failed: Error | undefined
  if (path !== undefined) {
    await once(stream, 'open').catch((error) => {
      const exists = errorCode(error) === 'EEXIST'
      throw new UserError(exists ? `${path} exists already` : `${path} cannot be made: ${messageOf(error)}`, {
        cause: error,
        hint: `give another path with --output${overwrite ? '' : '; nothing is overwritten'}`,
      })
    })
    stream.on('error', (error) => {
      failed = error
    })
  }
  const throwIfFailed = () => {
    if (failed)
      throw new UserError(`${path} cannot be written: ${failed.message}`, { cause: failed, hint: 'is the disk full?' })
  }
  return {
    async write(text) {
      throwIfFailed()
      if (text !== '' && !stream.write(text))
        await once(stream, 'drain', { signal }).catch((error) => (failed ? undefined : Promise.reject(error)))
      throwIfFailed()
    },
    async close() {
      if (path !== undefined && !failed) await new Promise<void>((resolve) => stream.end(() => resolve()))
      throwIfFailed()
    },
  }
}
