export * from './faulty-file-system.ts'
export * from './random.ts'
export * from './simulated-clock.ts'
