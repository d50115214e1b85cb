/** The version of every process; `tidy.test.ts` compares it with package.json. */
export const VERSION = '0.1.0'
