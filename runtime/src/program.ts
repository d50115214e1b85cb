/** The command line that every service has: run with a config, or check it. */
import { parseArgs } from 'node:util'
import { messageOf, UserError } from './errors.ts'
import type { Logger } from './logger.ts'
import { EXIT_FAILED, EXIT_USER_ERROR, reportFatal } from './main.ts'
import { VERSION } from './version.ts'

export interface Program {
  readonly name: string
  /** What it does, in one line. */
  readonly purpose: string
  /** More for the help text, such as which signals it takes. */
  readonly notes?: string
  /** Reads the config and whatever it names. @returns a sentence that says that all is well @throws UserError */
  readonly check: (configPath: string) => Promise<string>
  /** @returns the exit code */
  readonly run: (configPath: string) => Promise<number>
}

/** @returns the exit code: 0 stopped on request or no mistakes, 1 failed, 2 a person must mend something */
export async function runProgram(program: Program, args = process.argv.slice(2)): Promise<number> {
  const help = `${program.name} ${VERSION}: ${program.purpose}

  -c, --config FILE   its config, YAML
      --check         read the config, report every mistake, and end
      --version
  -h, --help

Exit codes: 0 stopped on request, 1 failed, 2 a person must mend something (config, port, credentials).
${program.notes ?? ''}`
  let options: {
    config?: string | undefined
    check?: boolean | undefined
    version?: boolean | undefined
    help?: boolean | undefined
  }
  try {
    options = parseArgs({
      args,
      options: {
        config: { type: 'string', short: 'c' },
        check: { type: 'boolean' },
        version: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${help}`)
    return EXIT_USER_ERROR
  }
  if (options.help || options.version) {
    process.stdout.write(options.help ? help : `${VERSION}\n`)
    return 0
  }
  if (options.config === undefined) {
    process.stderr.write(`--config FILE is missing\n\n${help}`)
    return EXIT_USER_ERROR
  }
  if (!options.check) return program.run(options.config)
  try {
    process.stdout.write(`${await program.check(options.config)}\n`)
    return 0
  } catch (error) {
    if (!(error instanceof UserError)) throw error
    process.stderr.write(`${error.message}\n${error.hint ? `hint: ${error.hint}\n` : ''}`)
    return EXIT_USER_ERROR
  }
}

/** Runs the work; what it throws is reported. @returns its exit code, or the one for what it threw */
export async function orReportFatal(work: () => Promise<number>, log: () => Logger): Promise<number> {
  try {
    return await work()
  } catch (error) {
    reportFatal(error, log())
    return error instanceof UserError ? EXIT_USER_ERROR : EXIT_FAILED
  }
}
