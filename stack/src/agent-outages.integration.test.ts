/** Outages of a scenario against real sockets. */
import { type AddressInfo, connect, createServer } from 'node:net'
import { systemClock } from '@tributary/runtime'
import { expect, test } from 'vitest'
import { createAgentOutages } from './agent-outages.ts'

const agents = ['agent-1', 'agent-2']

test('the link is cut when its time has come, and for so long', async () => {
  const gateway = createServer((socket) => socket.on('error', () => undefined))
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve))
  const said: string[] = []
  const outages = await createAgentOutages(
    [
      { agent: 'agent-2', at: 300, for: 400 },
      { agent: 'agent-2', at: 60_000, for: 400 },
    ],
    {
      agents,
      placeOf: () => ({ gatewayPort: (gateway.address() as AddressInfo).port }),
      clock: systemClock,
      say: (text) => said.push(text),
    },
  )
  expect(outages.portFor('agent-1')).toBeUndefined()
  const port = outages.portFor('agent-2') as number
  /** Whether a connection lasts for 50 ms. */
  const isUp = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => resolve(false)).on('close', () => resolve(false))
      void systemClock.sleep(50).then(() => {
        resolve(!socket.destroyed)
        socket.destroy()
      })
    })
  await outages.start()
  try {
    expect(await isUp()).toBe(true)
    outages.begin()
    const beganMs = systemClock.monotonicMs()
    while (await isUp()) expect(systemClock.monotonicMs() - beganMs).toBeLessThan(5_000)
    expect(systemClock.monotonicMs() - beganMs).toBeGreaterThan(300)
    while (!(await isUp())) expect(systemClock.monotonicMs() - beganMs).toBeLessThan(5_000)
    expect(systemClock.monotonicMs() - beganMs).toBeGreaterThan(700)
    expect(said).toEqual([
      'agent-2 is offline: its link to the gateway is cut for 0.4 s',
      'agent-2 has its link to the gateway back',
    ])
  } finally {
    await outages.stop()
    gateway.close()
  }
  expect(await isUp()).toBe(false)
})

test('an agent that there is not is a clear mistake', async () => {
  const place = { agents, placeOf: () => ({ gatewayPort: 1 }), clock: systemClock, say: () => undefined }
  await expect(createAgentOutages([{ agent: 'agent-3', at: 0, for: 1 }], place)).rejects.toThrow(
    'an outage of agent-3, and there is no such agent',
  )
})
