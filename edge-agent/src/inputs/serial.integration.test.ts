import { encode } from '@msgpack/msgpack'
import { createLogger, createMetrics, nodeFileSystem, systemClock } from '@tributary/runtime'
import { openSpool } from '@tributary/spool'
import { describe, expect, test } from 'vitest'
import { type BatchWriter, createBatchWriter } from '../batch-writer.ts'
import { createCompleteThrough } from '../complete-through.ts'
import { createEventTime } from '../event-time.ts'
import { cobsFrame } from '../framings/cobs.ts'
import { createRepeatGuard } from '../repeat-guard.ts'
import { createStamper } from '../stamper.ts'
import { bySequence, openCable, temporaryFolder, until } from '../testing.ts'
import { createIntake } from './input.ts'
import { createSerialInput } from './serial.ts'
import { cleanUpAfterEach, cleanUps, isOpen, jsonLine, reasons, start } from './serial-harness.ts'

cleanUpAfterEach()

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

test.each([true, false])(
  'a device that falls silent while the spool is full holds up nothing once there is room again; acknowledge: %s',
  async (acknowledge) => {
    let freeBytes = 2 ** 40
    const log = createLogger('test', 'silent')
    const clock = systemClock
    const spool = await openSpool(
      temporaryFolder(),
      { segmentBytesMax: 2 ** 21, bytesMax: 2 ** 25, durabilityMs: 5, freeBytesMin: 2 ** 20 },
      {
        clock,
        log,
        metrics: createMetrics('test'),
        fileSystem: { ...nodeFileSystem, freeBytes: async () => freeBytes },
      },
    )
    cleanUps.push(() => spool.close())
    const writer: BatchWriter = createBatchWriter(
      { agent: 'pi-1', bootId: 'boot', ageMs: 5, readings: 1, readingsTotal: 0, completeThroughMs: 0 },
      {
        spool,
        guard: createRepeatGuard(),
        stamper: createStamper(),
        completeThrough: createCompleteThrough(0, 0),
        eventTime: createEventTime({ offsetMs: Math.round(clock.wallMs() - clock.monotonicMs()), quality: 'trusted' }),
        pendingSinceMs: () => [],
        retention: { makeRoom: async () => false },
        tombstones: async () => [],
        clock,
        log,
        onBatch: () => undefined,
      },
    )
    cleanUps.push(() => writer.stop())
    const cable = openCable()
    cleanUps.push(cable.unplug)
    const config = {
      name: 'pump',
      type: 'serial',
      path: cable.path,
      baud: 115_200,
      framing: { type: 'json-lines', crc: true },
      device: 'pump-1',
      kind: 'vibration',
      acknowledge,
      idle: 300_000,
      keep_dtr: false,
    } as const
    const input = createSerialInput(config, {
      writer,
      intake: createIntake('pump', writer, () => undefined),
      clock,
      log,
    })
    await input.start(AbortSignal.timeout(1_000))
    cleanUps.push(() => input.stop(AbortSignal.timeout(2_000)))
    await until('open', () => input.status().state === 'open')
    freeBytes = 0
    // As many as fit into the batches that wait for the disk.
    const text = 'x'.repeat(1_000)
    for (let i = 0; input.status().state !== 'held'; i++) {
      let rest = Buffer.from(jsonLine({ sequence: i, a: text, b: text, c: text }))
      while (rest.length > 0) {
        rest = rest.subarray(cable.write(rest))
        if (rest.length > 0) await clock.sleep(1)
      }
    }
    expect(input.pendingSinceMs() === undefined).toBe(!acknowledge)
    freeBytes = 2 ** 40
    await until('there is room', () => input.status().state === 'open')
    await until('nothing is pending', () => input.pendingSinceMs() === undefined)
  },
  60_000,
)
