export * from './faulty-file-system.ts'
export * from './simulated-clock.ts'
