export * from './repository.ts'
export * from './servers.ts'
