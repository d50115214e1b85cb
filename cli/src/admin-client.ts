import { messageOf, UserError } from '@tributary/runtime'

/** Asks a process's admin server. @throws UserError that names the process and the option to change */
export async function askAdmin<T>(url: string, path: string, option: string): Promise<T> {
  let response: Response
  try {
    response = await fetch(new URL(path, url), { signal: AbortSignal.timeout(5_000) })
  } catch (error) {
    const cause = error instanceof Error && error.cause ? messageOf(error.cause) : messageOf(error)
    throw new UserError(`nothing answers at ${url} (${cause})`, {
      cause: error,
      hint: `is it running there? give its admin address with ${option}`,
    })
  }
  if (!response.ok)
    throw new UserError(`${url} answered ${response.status} to ${path}`, {
      hint: `is that really the right process? see ${option}`,
    })
  return (await response.json()) as T
}
