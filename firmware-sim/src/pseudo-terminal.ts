/**
 * A real pseudo-terminal, held at its master end like the far end of a serial cable. Raw, non-blocking, plain reads and
 * writes: through a tty stream a master that nobody reads can hang the whole process.
 */
import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs'
import { errorCode, UserError } from '@tributary/runtime'

export interface PseudoTerminal {
  /** `/dev/pts/N`: what the other side opens. */
  readonly path: string
  /** @returns how many bytes it took; 0 when it is full or nobody has it open */
  write(bytes: Uint8Array): number
  /** What came from the other side, and whether it has the terminal open. */
  poll(): { open: boolean; received: Uint8Array }
  /** Unplugs it: the other side gets a hang-up. */
  close(): void
}

interface LibC {
  openMaster(flags: number): number
  grant(fd: number): number
  unlock(fd: number): number
  slavePath(fd: number): string | null
  getAttributes(fd: number, termios: Uint8Array): number
  setAttributes(fd: number, actions: number, termios: Uint8Array): number
  makeRaw(termios: Uint8Array): void
  errno(): number
}

/** The C library that this process has loaded already, whichever it is; through a native module that only serial devices need. */
async function loadLibC(): Promise<LibC> {
  const { default: koffi } = await import('koffi').catch((error) => {
    throw new UserError('pseudo-terminals need the module koffi, which cannot be loaded here', {
      cause: error,
      hint: 'run `npm install`, or choose a scenario without serial devices, such as mqtt-only',
    })
  })
  const library = koffi.load(null)
  return {
    openMaster: library.func('int posix_openpt(int)'),
    grant: library.func('int grantpt(int)'),
    unlock: library.func('int unlockpt(int)'),
    slavePath: library.func('const char *ptsname(int)'),
    getAttributes: library.func('int tcgetattr(int, _Out_ uint8_t *)'),
    setAttributes: library.func('int tcsetattr(int, int, uint8_t *)'),
    makeRaw: library.func('void cfmakeraw(_Inout_ uint8_t *)'),
    errno: () => koffi.errno(),
  }
}

/** Not in Node's constants; the same on every Linux that Node runs on but Alpha, PA-RISC and SPARC. */
const O_CLOEXEC = 0o2000000
/** More than any C library's struct termios. */
const TERMIOS_BYTES = 256
const READ_BYTES = 4_096

/** @returns what opens a new pseudo-terminal in raw mode, or throws when the system has none left */
export async function loadPseudoTerminals(): Promise<() => PseudoTerminal> {
  const c = await loadLibC()
  return () => openPseudoTerminal(c)
}

function openPseudoTerminal(c: LibC): PseudoTerminal {
  const check = (call: string, result: number) => {
    if (result >= 0) return result
    throw new Error(
      `${call} failed with errno ${c.errno()}; is /dev/pts mounted, and /proc/sys/kernel/pty/max not reached?`,
    )
  }
  const flags = constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK | O_CLOEXEC
  const master = check('posix_openpt', c.openMaster(flags))
  let path: string
  try {
    check('grantpt', c.grant(master))
    check('unlockpt', c.unlock(master))
    path = c.slavePath(master) ?? ''
    // Opening and closing the slave once leaves it raw, and lets the master see that nobody has it open.
    const slave = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK)
    try {
      const termios = Buffer.alloc(TERMIOS_BYTES)
      check('tcgetattr', c.getAttributes(slave, termios))
      c.makeRaw(termios)
      check('tcsetattr', c.setAttributes(slave, 0, termios))
    } finally {
      closeSync(slave)
    }
  } catch (error) {
    closeSync(master)
    throw error
  }
  const buffer = Buffer.alloc(READ_BYTES)
  return {
    path,
    write(bytes) {
      let written = 0
      try {
        while (written < bytes.length) written += writeSync(master, bytes, written)
      } catch (error) {
        if (errorCode(error) !== 'EAGAIN' && errorCode(error) !== 'EIO') throw error
      }
      return written
    },
    poll() {
      const parts: Uint8Array[] = []
      for (;;) {
        let length: number
        try {
          length = readSync(master, buffer)
        } catch (error) {
          const code = errorCode(error)
          if (code !== 'EAGAIN' && code !== 'EIO') throw error
          return { open: code === 'EAGAIN', received: Buffer.concat(parts) }
        }
        if (length === 0) return { open: true, received: Buffer.concat(parts) }
        parts.push(Buffer.from(buffer.subarray(0, length)))
      }
    },
    close: () => closeSync(master),
  }
}
