import type { SiteViewSettings } from '@tributary/gateway'
import { createLogger, orReportFatal, runUntilSignal, systemClock } from '@tributary/runtime'
import { generatePassword, openLogin, setPassword, USER } from './login.ts'
import { findNodeRed } from './node-red.ts'
import { createSiteView } from './site-view.ts'

/**
 * Runs until SIGINT or SIGTERM, or, as a child, until its parent is gone.
 * @param print told what a person must know: the password, once, and where the page is
 * @returns the exit code
 */
export async function runSiteView(settings: SiteViewSettings, print: (text: string) => void): Promise<number> {
  const log = createLogger('site-view', settings.logLevel)
  return orReportFatal(
    async () => {
      findNodeRed(settings.folder)
      const onGenerated = (password: string) =>
        print(
          `site view: log in as ${USER} with the password ${password} (shown this once; set another with \`tributary site-view passwd\`)`,
        )
      const login = await openLogin(settings.folder, { clock: systemClock, onGenerated })
      const siteView = await createSiteView(settings, login, { clock: systemClock, log })
      const announced = {
        ...siteView,
        async start(signal: AbortSignal) {
          await siteView.start(signal)
          print(`site view: ${siteView.url}`)
        },
      }
      // A gateway that was killed could not tell us.
      if (process.connected) process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'))
      return runUntilSignal(announced, { log })
    },
    () => log,
  )
}

/** @returns the password that it has now */
export async function setSiteViewPassword(
  { folder }: SiteViewSettings,
  password = generatePassword(),
): Promise<string> {
  await setPassword(folder, password)
  return password
}
