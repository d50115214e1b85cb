export { VERSION } from '@tributary/runtime'
export { createProgram } from './program.ts'
