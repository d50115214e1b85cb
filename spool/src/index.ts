export type { Processes, ProcessIdentity } from './lock.ts'
export type { SentRange } from './sent.ts'
export * from './spool.ts'
export * from './spool-full-error.ts'
