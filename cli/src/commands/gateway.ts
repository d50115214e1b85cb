import { randomBytes } from 'node:crypto'
import { Command } from 'commander'
import { readPassword } from '../password-input.ts'
import { print } from '../print.ts'

export function gatewayCommand(): Command {
  const command = new Command('gateway')
    .description('run the gateway: agents → spool → JetStream')
    .option('-c, --config <file>', 'its YAML config')
    .option(
      '--node-red',
      'run the site view beside it: a page for the technician on site (see `tributary site-view --help`)',
    )
    .action(async ({ config, nodeRed }: { config?: string; nodeRed?: boolean }) => {
      if (!config) return command.error("error: required option '-c, --config <file>' not specified")
      const { runGateway } = await import('@tributary/gateway')
      process.exitCode = await runGateway(config, nodeRed ? siteViewProgram(config) : undefined)
    })
  command.addCommand(
    new Command('passwd')
      .description("set an agent's password in the gateway's credentials file (created if missing)")
      .argument('<file>', 'the credentials file')
      .argument('<agent>', "the agent's name")
      .option('--generate', 'make up a password and print it')
      .action(async (file: string, agent: string, options: { generate?: boolean }) => {
        const { setPassword } = await import('@tributary/gateway')
        const password = options.generate ? randomBytes(18).toString('base64url') : await readPassword()
        await setPassword(file, agent, password)
        print(options.generate ? password : `the password of ${agent} is set in ${file}`)
      }),
  )
  return command
}

/** This very program, with a heap that is large enough for a page and too small for a leak. */
const siteViewProgram = (config: string) => ({
  program: process.execPath,
  arguments: [
    ...process.execArgv,
    '--max-old-space-size=192',
    process.argv[1] as string,
    'site-view',
    '--config',
    config,
  ],
})
