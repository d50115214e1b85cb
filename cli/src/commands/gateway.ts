import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline/promises'
import { Command } from 'commander'
import { print } from '../print.ts'

export function gatewayCommand(): Command {
  const command = new Command('gateway')
    .description('run the gateway: agents → spool → JetStream')
    .option('-c, --config <file>', 'its YAML config')
    .action(async ({ config }: { config?: string }) => {
      if (!config) return command.error("error: required option '-c, --config <file>' not specified")
      const { runGateway } = await import('@tributary/gateway')
      process.exitCode = await runGateway(config)
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

/** From the terminal, or the first line of standard input. */
async function readPassword(): Promise<string> {
  const lines = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal: process.stdin.isTTY === true,
  })
  try {
    return await lines.question(process.stdin.isTTY ? 'password: ' : '')
  } finally {
    lines.close()
  }
}
