export * from './spool.ts'
