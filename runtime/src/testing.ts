export * from './faulty-file-system.ts'
export * from './self-signed-harness.ts'
export * from './simulated-clock.ts'
