import { mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { crc16 } from '../framings/crc16.ts'
import {
  type Cable,
  openCable,
  startAgent,
  startGateway,
  type TestAgent,
  type TestGateway,
  temporaryFolder,
  until,
} from '../testing.ts'

export const cleanUps: (() => unknown)[] = []
/** To be called once by a file of tests. */
export const cleanUpAfterEach = (): void =>
  afterEach(async () => {
    for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
  })

/** A port with a stable name, as under /dev/serial/by-id, and what is plugged in there at present. */
export function createSocket(): { path: string; plug(): Cable; unplug(): void } {
  const folder = mkdtempSync(join(temporaryFolder(), 'by-id-'))
  const path = join(folder, 'usb-pump')
  let cable: Cable | undefined
  const socket = {
    path,
    plug() {
      cable = openCable()
      symlinkSync(cable.path, `${path}.new`)
      renameSync(`${path}.new`, path)
      return cable
    },
    unplug() {
      rmSync(path, { force: true })
      cable?.unplug()
    },
  }
  cleanUps.push(() => cable?.unplug())
  return socket
}

export async function start(
  path: string,
  input: Record<string, unknown> = {},
): Promise<{ agent: TestAgent; gateway: TestGateway; restart(): Promise<TestAgent> }> {
  const gateway = await startGateway()
  cleanUps.push(() => gateway.stop())
  const folder = temporaryFolder()
  const settings = {
    folder,
    gatewayPort: gateway.port,
    inputs: [
      {
        name: 'pump',
        type: 'serial',
        path,
        framing: { type: 'json-lines', crc: true },
        device: 'pump-1',
        kind: 'vibration',
        ...input,
      },
    ],
  }
  const open = async () => {
    const agent = await startAgent(settings)
    cleanUps.push(() => agent.stop())
    return agent
  }
  return { agent: await open(), gateway, restart: open }
}
export const jsonLine = (row: unknown) => {
  const text = JSON.stringify(row)
  return `${text}*${crc16(Buffer.from(text)).toString(16).padStart(4, '0')}\n`
}
export const isOpen = (agent: TestAgent) =>
  until('the port is open', async () => (await agent.status()).inputs[0]?.state === 'open')
export const reasons = (gateway: TestGateway) =>
  gateway.batches.flatMap(({ deadLetters }) => deadLetters.map(({ reason }) => reason))
