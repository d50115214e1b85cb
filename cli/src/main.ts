import { errorCode, messageOf, UserError } from '@tributary/runtime'
import { CommanderError } from 'commander'
import { createProgram } from './program.ts'

// Whoever pipes us into `head` closes early; that is no error of ours.
process.stdout.on('error', (error) => process.exit(errorCode(error) === 'EPIPE' ? 0 : 1))

try {
  await createProgram().parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2
  else {
    process.stderr.write(`tributary: ${messageOf(error)}\n`)
    if (error instanceof UserError && error.hint) process.stderr.write(`→ ${error.hint}\n`)
    else if (!(error instanceof UserError) && process.env['TRIBUTARY_DEBUG'])
      process.stderr.write(`${(error as Error).stack}\n`)
    process.exitCode = error instanceof UserError ? 2 : 1
  }
}
