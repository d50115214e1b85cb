import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The checkout that this code runs from. */
export const repositoryFolder = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
/** The program `tributary`, run from its sources. */
export const tributaryProgram = join(repositoryFolder, 'cli', 'bin', 'tributary.mjs')
