/** For tests and benchmarks alone: a browser. */
import { type BrowserContext, chromium } from 'playwright-core'
import { findServer } from './servers.ts'

export const DESKTOP = { width: 1440, height: 900 }
export const PHONE = { width: 390, height: 844 }

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/**
 * A real Chromium without a window, of this machine or unpacked from the distribution's package.
 * @param profileFolder new or empty; may be removed after `close`
 * @throws with what to do when there is no Chromium and none can be unpacked
 */
export async function launchChromium(profileFolder: string, viewport = DESKTOP): Promise<BrowserContext> {
  const found = await findServer('chromium').catch((error) => {
    throw new Error(`${error.message}\nThis needs Chromium: apt-get install chromium`, { cause: error })
  })
  return chromium.launchPersistentContext(profileFolder, {
    executablePath: found.path,
    env: { ...process.env, ...found.environment } as Record<string, string>,
    headless: true,
    viewport,
    args: ARGUMENTS,
  })
}
