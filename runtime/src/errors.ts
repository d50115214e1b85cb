/** The error's class decides: unknown means try again, permanent means set aside. */
export class PermanentError extends Error {
  override readonly name: string = 'PermanentError'
}

/** Something a person must mend before the program can run; printed without a stack, with what to do. */
export class UserError extends Error {
  override readonly name: string = 'UserError'
  /** What to do about it, a sentence or a command. */
  readonly hint: string | undefined
  constructor(detail: string, options: ErrorOptions & { hint?: string } = {}) {
    super(detail, options)
    this.hint = options.hint
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
/** `ENOENT`, `EADDRINUSE`, …; undefined for other errors. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
export const isAbort = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError'
