/** The browser's clock: the only place of this half that asks for the time or sets a timer. */
import type { Clock } from '@tributary/runtime'

export type BrowserClock = Pick<Clock, 'wallMs' | 'after'>

export const browserClock: BrowserClock = {
  wallMs: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    return () => clearTimeout(timer)
  },
}
