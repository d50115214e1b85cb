export * from './engine.ts'
export * from './rule.ts'
