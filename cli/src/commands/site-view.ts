import { errorCode, UserError } from '@tributary/runtime'
import { Command } from 'commander'
import { readPassword } from '../password-input.ts'
import { print } from '../print.ts'

/** Node-RED and all that it needs is a package of its own, which need not be installed. */
async function siteViewPackage() {
  return import('@tributary/site-view').catch((error: unknown) => {
    if (errorCode(error) !== 'ERR_MODULE_NOT_FOUND') throw error
    throw new UserError('the site view is not installed', {
      cause: error,
      hint: 'npm install --workspace @tributary/site-view',
    })
  })
}

export function siteViewCommand(): Command {
  const command = new Command('site-view')
    .description(
      'run the page for the technician on site (Node-RED) beside a gateway that has `site_view` in its config',
    )
    .option('-c, --config <file>', "the gateway's YAML config")
    .addHelpText('after', '\n`tributary gateway --node-red` runs it as a child of the gateway. See docs/site-view.md.')
    .action(async ({ config }: { config?: string }) => {
      if (!config) return command.error("error: required option '-c, --config <file>' not specified")
      const [{ loadSiteViewConfig }, { runSiteView }] = await Promise.all([
        import('@tributary/gateway'),
        siteViewPackage(),
      ])
      process.exitCode = await runSiteView(await loadSiteViewConfig(config), print)
      // Nodes of flows may have left timers and sockets behind.
      process.exit()
    })
  command.addCommand(
    new Command('passwd')
      .description('set the password of the site view; sessions end as it is started again')
      .requiredOption('-c, --config <file>', "the gateway's YAML config")
      .option('--generate', 'make up a password and print it')
      .action(async ({ config, generate }: { config: string; generate?: boolean }) => {
        const [{ loadSiteViewConfig }, { setSiteViewPassword }] = await Promise.all([
          import('@tributary/gateway'),
          siteViewPackage(),
        ])
        const settings = await loadSiteViewConfig(config)
        const password = await setSiteViewPassword(settings, generate ? undefined : await readPassword())
        print(generate ? password : `the password is set in ${settings.folder}`)
      }),
  )
  return command
}
