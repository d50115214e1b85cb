import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encode } from '@msgpack/msgpack'
import { systemClock } from '@tributary/runtime'
import { afterEach, describe, expect, test } from 'vitest'
import { cobsFrame } from '../framings/cobs.ts'
import { crc16 } from '../framings/crc16.ts'
import {
  bySequence,
  type Cable,
  openCable,
  startAgent,
  startGateway,
  type TestAgent,
  type TestGateway,
  temporaryFolder,
  until,
} from '../testing.ts'

const cleanUps: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

/** A port with a stable name, as under /dev/serial/by-id, and what is plugged in there at present. */
function createSocket(): { path: string; plug(): Cable; unplug(): void } {
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

async function start(
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
const jsonLine = (row: unknown) => {
  const text = JSON.stringify(row)
  return `${text}*${crc16(Buffer.from(text)).toString(16).padStart(4, '0')}\n`
}
const isOpen = (agent: TestAgent) =>
  until('the port is open', async () => (await agent.status()).inputs[0]?.state === 'open')
const reasons = (gateway: TestGateway) =>
  gateway.batches.flatMap(({ deadLetters }) => deadLetters.map(({ reason }) => reason))

describe.each([
  [
    'json-lines',
    { type: 'json-lines', crc: true },
    (i: number) => jsonLine({ sequence: i, value: i / 3 }),
    (ranges: string) => `ack ${ranges}*`,
  ],
  [
    'csv',
    { type: 'csv', columns: ['sequence', 'value'] },
    (i: number) => `${i},${i / 3}\r\n`,
    (ranges: string) => `ack ${ranges}\n`,
  ],
  ['cobs', { type: 'cobs' }, (i: number) => cobsFrame(encode({ sequence: i, value: i / 3 })), undefined],
])('%s on a pseudo-terminal', (_, framing, write, acknowledgement) => {
  test('samples arrive once and exactly, and are acknowledged as ranges', async () => {
    const cable = openCable()
    cleanUps.push(cable.unplug)
    const { agent, gateway } = await start(cable.path, { framing, acknowledge: true })
    await isOpen(agent)
    for (let i = 0; i < 200; i++) {
      const bytes = Buffer.from(write(i) as string)
      await until('the line takes it', () => cable.write(bytes) === bytes.length)
    }
    await until('all at the gateway', () => bySequence(gateway.batches, 'pump-1', 'value').size === 200)
    for (const [sequence, { value, count }] of bySequence(gateway.batches, 'pump-1', 'value'))
      expect([value, count]).toEqual([sequence / 3, 1])
    if (acknowledgement) {
      const told = () =>
        [
          ...cable
            .received()
            .toString()
            .matchAll(/ack ([\d,-]+)/g),
        ].flatMap((match) => (match[1] as string).split(','))
      await until('the last is acknowledged', () => told().some((range) => range.endsWith('199')))
      const covered = new Set<number>()
      for (const range of told()) {
        const [first = 0, last = first] = range.split('-').map(Number)
        for (let i = first; i <= last; i++) covered.add(i)
      }
      expect(covered.size).toBe(200)
      expect(cable.received().toString()).toContain(acknowledgement('').trim().slice(0, 4))
    } else await until('acknowledged', () => cable.received().includes('ack'))
    expect((await agent.status()).inputs[0]).toMatchObject({
      name: 'pump',
      type: 'serial',
      state: 'open',
      samples: 200,
      readings: 400,
      deadLetters: 0,
    })
  })
})

test('what was sent again is stored once and acknowledged again, also when the agent was restarted in between', async () => {
  const cable = openCable()
  cleanUps.push(cable.unplug)
  const { agent, gateway, restart } = await start(cable.path, { acknowledge: true })
  await isOpen(agent)
  const acks = () => cable.received().toString().match(/ack 7/g)?.length ?? 0
  cable.write(jsonLine({ sequence: 7, value: 1 }))
  await until('acknowledged', () => acks() === 1)
  cable.write(jsonLine({ sequence: 7, value: 1 }))
  await until('acknowledged again', () => acks() === 2)
  await agent.stop()
  const second = await restart()
  await isOpen(second)
  cable.write(jsonLine({ sequence: 7, value: 1 }))
  await until('acknowledged by the new one', () => acks() === 3)
  cable.write(jsonLine({ sequence: 8, value: 1 }))
  await until('at the gateway', () => bySequence(gateway.batches, 'pump-1', 'value').has(8))
  expect(bySequence(gateway.batches, 'pump-1', 'value').get(7)?.count).toBe(1)
  expect(await second.status()).toMatchObject({ repeatedSamples: 1 })
})

test('garbage, wrong checksums and bad values become dead letters with their originals; the good lines between them arrive', async () => {
  const cable = openCable()
  cleanUps.push(cable.unplug)
  const { agent, gateway } = await start(cable.path, { acknowledge: true })
  await isOpen(agent)
  cable.write(
    Buffer.concat([
      Buffer.from([0x00, 0xff, 0x80, 0x0a]),
      Buffer.from(jsonLine({ sequence: 1, value: 1 })),
      Buffer.from('{"sequence":2,"value":2}*0000\n'),
      Buffer.from('{"sequence":3,"value":3}\n'),
      Buffer.from(jsonLine({ sequence: 4, value: { nested: true } })),
      Buffer.from(jsonLine([1, 2])),
      Buffer.from('noise'),
      Buffer.from(jsonLine({ sequence: 5, value: 5 })),
    ]),
  )
  await until('the last good one', () => bySequence(gateway.batches, 'pump-1', 'value').has(5))
  expect([...bySequence(gateway.batches, 'pump-1', 'value').keys()]).toEqual([1, 5])
  expect(reasons(gateway).sort()).toEqual([
    'bad_checksum',
    'nested_value',
    'no_checksum',
    'no_checksum',
    'noise',
    'not_a_map',
  ])
  const letters = gateway.batches.flatMap(({ deadLetters }) => deadLetters)
  expect(Buffer.from(letters.find(({ reason }) => reason === 'bad_checksum')?.original ?? []).toString()).toBe(
    '{"sequence":2,"value":2}*0000',
  )
  expect(letters[0]).toMatchObject({ input: 'pump', device: 'pump-1' })
  // The refused value was acknowledged with its sample: sending it again would not help.
  await until('four is acknowledged', () => /ack .*\b4/.test(cable.received().toString()))
  expect(await agent.metrics()).toMatch(/tributary_agent_dead_letters_total\{input="pump",reason="bad_checksum".*\} 1/)
})

test('unplugged and plugged in again under the same name: it goes on', async () => {
  const socket = createSocket()
  let cable = socket.plug()
  const { agent, gateway } = await start(socket.path)
  await isOpen(agent)
  cable.write(jsonLine({ sequence: 1, value: 1 }))
  await until('the first', () => bySequence(gateway.batches, 'pump-1', 'value').has(1))
  cable.write('{"sequence":2,"va')
  await systemClock.sleep(100)
  socket.unplug()
  await until('noticed', async () => (await agent.status()).inputs[0]?.state === 'down')
  cable = socket.plug()
  await isOpen(agent)
  cable.write(jsonLine({ sequence: 3, value: 3 }))
  await until('the third', () => bySequence(gateway.batches, 'pump-1', 'value').has(3))
  expect(reasons(gateway)).toEqual(['cut_short'])
})

test('a port that is not there: said once with what to do, tried again, and the other inputs go on', async () => {
  const socket = createSocket()
  const gateway = await startGateway()
  cleanUps.push(() => gateway.stop())
  const agent = await startAgent({
    folder: temporaryFolder(),
    gatewayPort: gateway.port,
    inputs: [
      {
        name: 'pump',
        type: 'serial',
        path: socket.path,
        framing: { type: 'json-lines' },
        device: 'pump-1',
        kind: 'vibration',
      },
      { name: 'host', type: 'host', interval: '200ms' },
    ],
  })
  cleanUps.push(() => agent.stop())
  await until('host samples', () => gateway.batches.some(({ blocks }) => blocks.some(({ kind }) => kind === 'host')))
  await systemClock.sleep(1_500)
  const said = agent.log.filter(({ level, msg }) => level === 'warn' && String(msg).includes('there is no'))
  expect(said).toHaveLength(1)
  expect(said[0]).toMatchObject({ hint: expect.stringContaining('/dev/serial/by-id') })
  expect((await agent.status()).inputs[0]).toMatchObject({ state: 'down', detail: `there is no ${socket.path}` })
  const cable = socket.plug()
  await isOpen(agent)
  cable.write('{"sequence":1,"value":1}\n')
  await until('it is read', () => bySequence(gateway.batches, 'pump-1', 'value').has(1))
})

test('a path that is no serial port is said so, with where to look', async () => {
  const folder = temporaryFolder()
  writeFileSync(`${folder}/file`, 'text')
  for (const path of [folder, `${folder}/file`, '/dev/null']) {
    const { agent } = await start(path)
    await until('it is down', async () => (await agent.status()).inputs[0]?.state === 'down')
    expect((await agent.status()).inputs[0]?.detail).toBe(`${path} is no serial port`)
    const said = agent.log.find(({ msg }) => String(msg).startsWith(`${path} is no serial port`))
    expect(said).toMatchObject({ level: 'warn', hint: expect.stringContaining('/dev/serial/by-id') })
  }
})

test('a silent port is opened again: the device behind it may be another one by now', async () => {
  const socket = createSocket()
  const first = socket.plug()
  const { agent, gateway } = await start(socket.path, { idle: '500ms' })
  await isOpen(agent)
  // The name leads to another terminal now, and the old one stays open and silent: the hang-up was missed.
  const second = socket.plug()
  cleanUps.push(first.unplug)
  await until('the watchdog has found out', async () => {
    second.write(jsonLine({ sequence: 1, value: 1 }))
    await systemClock.sleep(50)
    return bySequence(gateway.batches, 'pump-1', 'value').has(1)
  })
  expect(agent.log.some(({ msg }) => String(msg).includes('was silent for 500 ms'))).toBe(true)
})

test('a line that floods with garbage costs a bounded number of dead letters, and every one is counted', async () => {
  const cable = openCable()
  cleanUps.push(cable.unplug)
  const { agent, gateway } = await start(cable.path)
  await isOpen(agent)
  let sent = 0
  for (let i = 0; i < 2_000; i++) if (cable.write('garbage\n') > 0) sent++
  await until('all counted', async () => (await agent.status()).deadLetters === sent)
  await agent.stop()
  const letters = gateway.batches.flatMap(({ deadLetters }) => deadLetters)
  expect(letters.length).toBeLessThan(100)
  const joined = letters.reduce(
    (sum, { detail, originalBytes }) => sum + (/more like this/.test(detail) ? originalBytes / 7 : 1),
    0,
  )
  expect(joined).toBe(sent)
})
