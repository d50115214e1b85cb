import { execFile } from 'node:child_process'
import type { Logger } from 'pino'

/**
 * Tells systemd our state, when it asked for that. Node has no datagram Unix sockets, so systemd's own tool speaks;
 * the unit needs `NotifyAccess=all`. Source: sd_notify(3).
 */
export async function notifySystemd(state: 'READY=1' | 'STOPPING=1', log: Logger): Promise<void> {
  if (!process.env['NOTIFY_SOCKET']) return
  await new Promise<void>((resolve) => {
    execFile('systemd-notify', [`--pid=${process.pid}`, state], { timeout: 5_000 }, (error) => {
      if (error) log.warn({ err: error, state }, 'systemd-notify failed; systemd will not know our state')
      resolve()
    })
  })
}
