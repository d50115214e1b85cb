export * from './provisioning.ts'
