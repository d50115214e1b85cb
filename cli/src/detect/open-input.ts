/** What is read: a file, a pipe or standard input; and that nothing is written over it. */
import { createReadStream, open } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Socket } from 'node:net'
import { addAbortSignal } from 'node:stream'
import { promisify } from 'node:util'
import { errorCode, isAbort, messageOf, UserError } from '@tributary/runtime'
import { bytes } from '../print.ts'

const CHUNK_BYTES = 256 * 1024

export interface OpenedInput {
  readonly name: string
  readonly chunks: AsyncIterable<Uint8Array>
  /** "45 %  ", or how much was read of what has no known end. */
  share(): string
}

export async function openInput(path: string, signal: AbortSignal): Promise<OpenedInput> {
  let read = 0
  const found = path === '-' ? undefined : await stat(path).catch(() => undefined)
  const size = found?.isFile() ? found.size : 0
  const stream =
    path === '-'
      ? process.stdin
      : found?.isFIFO()
        ? await openPipe(path)
        : createReadStream(path, { highWaterMark: CHUNK_BYTES })
  addAbortSignal(signal, stream)
  async function* chunks() {
    try {
      for await (const chunk of stream) {
        read += (chunk as Uint8Array).length
        yield chunk as Uint8Array
      }
    } catch (error) {
      if (isAbort(error)) throw error
      const absent = errorCode(error) === 'ENOENT'
      throw new UserError(absent ? `there is no file ${path}` : `${path} cannot be read: ${messageOf(error)}`, {
        cause: error,
        hint: 'give a CSV file, or - for standard input',
      })
    }
  }
  return {
    name: path === '-' ? 'standard input' : (path.split('/').at(-1) ?? path),
    chunks: chunks(),
    share: () => (size > 0 ? `${Math.floor((100 * read) / size)} %  ` : `${bytes(read)}  `),
  }
}

/** A pipe that is read as a file is cannot be left while it is waited for, not even by the end of the process. */
async function openPipe(path: string): Promise<Socket> {
  return new Socket({ fd: await promisify(open)(path, 'r'), readable: true, writable: false })
}

/** Results written over the file that they are made from would destroy it. */
export async function refuseOverwriting(
  input: string,
  { output, plot }: { readonly output?: string | undefined; readonly plot?: string | undefined },
): Promise<void> {
  const identity = async (path: string | undefined) => {
    const found = path === undefined || path === '-' ? undefined : await stat(path).catch(() => undefined)
    return found?.isFile() ? `${found.dev}:${found.ino}` : undefined
  }
  const source = await identity(input)
  for (const [option, path] of [
    ['--output', output],
    ['--plot', plot],
  ] as const)
    if (source !== undefined && (await identity(path)) === source)
      throw new UserError(`${option} ${path} is the file that is read`, { hint: 'give another path' })
  if (output !== undefined && output === plot)
    throw new UserError('--output and --plot are the same file', { hint: 'give another path' })
}
