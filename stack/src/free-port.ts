import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * Below the range from which systems give ports to outgoing connections: a process that is killed and started again finds its
 * port as it left it.
 */
const LOWEST = 10_240
const HIGHEST = 32_767
const TRIES_MAX = 100

/** A loopback port that was free a moment ago, and that this machine gives to nobody else who asks here while this process lives. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const port = randomInt(LOWEST, HIGHEST + 1)
    if ((await claim(port)) && (await canListen(port))) return port
  }
  throw new Error(`of ${TRIES_MAX} ports between ${LOWEST} and ${HIGHEST} not one was free`)
}

/**
 * Seconds pass until the server listens for which the port was asked. An abstract socket is a name that only one process has, and that
 * goes with it, however it ends. Source: unix(7).
 */
const claim = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(`\0tributary-port-${port}`, () => {
      server.unref()
      resolve(true)
    })
  })

const canListen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
