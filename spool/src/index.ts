export type { Processes, ProcessIdentity } from './lock.ts'
export * from './spool.ts'
export * from './spool-full-error.ts'
