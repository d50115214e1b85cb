/** A stable path that leads to whatever terminal a device is on at present, as under /dev/serial/by-id. */
import { lstatSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { UserError } from '@tributary/runtime'

/** At once, not some time later: another device may take the place, or the number of the terminal, in the meantime. */
export function linkPort(path: string, terminalPath: string): void {
  rmSync(`${path}.new`, { force: true })
  symlinkSync(terminalPath, `${path}.new`)
  renameSync(`${path}.new`, path)
}

/** Only when it still leads there. */
export function unlinkPort(path: string, terminalPath: string): void {
  if (readlinkSync(path) === terminalPath) rmSync(path)
}

/** @throws UserError when the path is something else than a link: that is not ours to replace */
export function refuseToReplace(path: string): void {
  const there = lstatSync(path, { throwIfNoEntry: false })
  if (there && !there.isSymbolicLink())
    throw new UserError(`${path} is there already, and is no link to a port`, {
      hint: 'choose another path with --link',
    })
}
