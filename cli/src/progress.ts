/** What long work says on standard error: one line that changes on a terminal, a line now and then elsewhere. */
import type { Clock } from '@tributary/runtime'

const TERMINAL_MS = 200
const LOG_MS = 5_000

export interface Progress {
  /** Shown when enough time has passed since the last one. */
  say(text: () => string): void
  /** Takes the line away again. */
  done(): void
}

export function createProgress(
  output: { write(text: string): unknown; readonly isTTY?: boolean | undefined },
  clock: Pick<Clock, 'monotonicMs'>,
): Progress {
  const everyMs = output.isTTY ? TERMINAL_MS : LOG_MS
  let saidMs = clock.monotonicMs()
  let shown = false
  return {
    say(text) {
      const nowMs = clock.monotonicMs()
      if (nowMs - saidMs < everyMs) return
      saidMs = nowMs
      shown = true
      output.write(output.isTTY ? `\r\u001b[K${text()}` : `${text()}\n`)
    },
    done() {
      if (shown && output.isTTY) output.write('\r\u001b[K')
      shown = false
    },
  }
}
