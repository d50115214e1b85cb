import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { expect, test } from 'vitest'
import { crc16 } from '../framings/crc16.ts'
import { bySequence, type Cable, openCable, startAgent, startGateway, temporaryFolder, until } from '../testing.ts'
import { cleanUpAfterEach, cleanUps, createSocket, isOpen, jsonLine, reasons, start } from './serial-harness.ts'

cleanUpAfterEach()

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

test('the path leads to another terminal and the open one stays silent: noticed within seconds, whatever `idle` is', async () => {
  const socket = createSocket()
  const first = socket.plug()
  const { agent, gateway } = await start(socket.path)
  await isOpen(agent)
  const second = socket.plug()
  cleanUps.push(first.unplug)
  await until('found out', async () => {
    second.write(jsonLine({ sequence: 1, value: 1 }))
    await systemClock.sleep(50)
    return bySequence(gateway.batches, 'pump-1', 'value').has(1)
  })
  expect(agent.log.some(({ msg }) => String(msg).includes('leads to another device now'))).toBe(true)
})

test('a silent device that is there is left alone: not opened again before `idle`, and DTR stays up when it is', async () => {
  const cable = openCable()
  cleanUps.push(cable.unplug)
  const flags = () => execFileSync('stty', ['-F', cable.path, '-a']).toString()
  // As the kernel gives a real port: it would lower DTR at the last close.
  execFileSync('stty', ['-F', cable.path, 'hupcl'])
  const { agent } = await start(cable.path)
  await isOpen(agent)
  await until('DTR is kept', () => flags().includes('-hupcl'))
  await systemClock.sleep(3_500)
  expect(agent.log.filter(({ msg }) => msg === 'port open')).toHaveLength(1)
  await agent.stop()
  expect(flags()).toContain('-hupcl')
  const { agent: second } = await start(cable.path, { keep_dtr: false })
  await isOpen(second)
  expect(flags()).toMatch(/[^-]hupcl/)
})

test('a device that vanishes within milliseconds of being opened, 60 times: it is always found again, and no descriptor leaks', async () => {
  const socket = createSocket()
  let cable: Cable | undefined
  const { agent, gateway } = await start(socket.path, { acknowledge: true })
  const openDescriptors = () =>
    readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith('/dev/pts/')
      } catch {
        return false
      }
    }).length
  const opens = () => agent.log.filter(({ msg }) => msg === 'port open').length
  const before = openDescriptors()
  let slowestMs = 0
  let gone = 0
  for (let cycle = 0; cycle < 60; cycle++) {
    cable = socket.plug()
    const opensBefore = opens()
    if (cycle % 10 === 9) {
      // Every tenth time it stays, and what it says then must arrive.
      const backAtMs = systemClock.monotonicMs()
      await until('its samples are read again', async () => {
        cable?.write(jsonLine({ sequence: cycle, value: cycle / 7 }))
        await systemClock.sleep(20)
        return bySequence(gateway.batches, 'pump-1', 'value').has(cycle)
      })
      slowestMs = Math.max(slowestMs, systemClock.monotonicMs() - backAtMs)
    } else {
      // While it is being opened, just after, or some milliseconds later.
      const isFlagged = () => {
        try {
          return execFileSync('stty', ['-F', cable?.path as string, '-a'])
            .toString()
            .includes('min = 1; time = 0;')
        } catch {
          return true
        }
      }
      const deadlineMs = systemClock.monotonicMs() + 3_000
      while (opens() === opensBefore && systemClock.monotonicMs() < deadlineMs && !(cycle % 3 === 0 && isFlagged()))
        await systemClock.sleep(1)
      await systemClock.sleep(cycle % 6)
      gone++
    }
    socket.unplug()
  }
  expect(gone).toBe(54)
  expect(opens()).toBeGreaterThan(20)
  await until('all closed', () => openDescriptors() <= before)
  console.info(`vanished ${gone} times; read again after ${Math.round(slowestMs)} ms at most; opened ${opens()} times`)
  expect(slowestMs).toBeLessThan(10_000)
}, 180_000)

test('two devices swap ports: each sample is stored under the name it carries, columns and acknowledgements stay with their device', async () => {
  const left = createSocket()
  const right = createSocket()
  const gateway = await startGateway()
  cleanUps.push(() => gateway.stop())
  const csv = (path: string, name: string) => ({
    name,
    type: 'serial',
    path,
    framing: { type: 'csv', crc: true },
    device: name,
    kind: 'vibration',
    acknowledge: true,
  })
  const agent = await startAgent({
    folder: temporaryFolder(),
    gatewayPort: gateway.port,
    // Slow to store: what the first device is owed is still owed when the second speaks.
    batch: { age: '400ms' },
    inputs: [csv(left.path, 'left'), csv(right.path, 'right')],
  })
  cleanUps.push(() => agent.stop())
  const withCrc = (line: string) => `${line}*${crc16(Buffer.from(line)).toString(16).padStart(4, '0')}
`
  const isBothOpen = () =>
    until('both open', async () => (await agent.status()).inputs.every(({ state }) => state === 'open'))
  const acked = (cable: Cable) =>
    new Set(
      [
        ...cable
          .received()
          .toString()
          .matchAll(/ack ([\d,-]+)/g),
      ].flatMap(([, ranges]) =>
        (ranges as string).split(',').flatMap((range) => {
          const [from = 0, to = from] = range.split('-').map(Number)
          return Array.from({ length: to - from + 1 }, (_, i) => from + i)
        }),
      ),
    )
  let [a, b] = [left.plug(), right.plug()]
  await isBothOpen()
  a.write(withCrc('#columns: device,sequence,speed') + withCrc('pump-a,1,10') + withCrc('pump-a,2,20'))
  b.write(withCrc('#columns: device,sequence,level') + withCrc('tank-b,1,0.1') + withCrc('tank-b,2,0.2'))
  await until('acknowledged', () => acked(a).has(2) && acked(b).has(2))
  a.write(`${withCrc('pump-a,3,30')}pump-a,4,`)
  b.write(`${withCrc('tank-b,3,0.3')}tank-b,4,`)
  await systemClock.sleep(100)
  left.unplug()
  right.unplug()
  await until('both noticed', async () => (await agent.status()).inputs.every(({ state }) => state !== 'open'))
  ;[b, a] = [left.plug(), right.plug()]
  await isBothOpen()
  // Nobody has announced anything on these openings yet: the columns of the one before must not be used.
  b.write(withCrc('tank-b,5,0.5') + withCrc('#columns: device,sequence,level') + withCrc('tank-b,6,0.6'))
  a.write(withCrc('pump-a,5,50') + withCrc('#columns: device,sequence,speed') + withCrc('pump-a,6,60'))
  await until('acknowledged again', () => acked(a).has(6) && acked(b).has(6))
  const arrived = (device: string, field: string) => bySequence(gateway.batches, device, field).has(6)
  await until('at the gateway', () => arrived('pump-a', 'speed') && arrived('tank-b', 'level'))
  // 3 was owed on the other opening, 4 was cut, 5 could not be read: none of it may be acknowledged here.
  expect([...acked(a)]).toEqual([6])
  expect([...acked(b)]).toEqual([6])
  const all = gateway.batches.flatMap(({ blocks }) => blocks).filter(({ kind }) => kind === 'vibration')
  expect(new Set(all.map(({ device }) => device))).toEqual(new Set(['pump-a', 'tank-b']))
  for (const [device, field] of [
    ['pump-a', 'speed'],
    ['tank-b', 'level'],
  ] as const) {
    const fields = new Set(
      all.filter((block) => block.device === device).flatMap(({ columns }) => columns.map((c) => c.field)),
    )
    expect(fields).toEqual(new Set(['sequence', field]))
    expect([...bySequence(gateway.batches, device, field)].map(([sequence, { value }]) => [sequence, value])).toEqual(
      [1, 2, 3, 6].map((i) => [i, device === 'pump-a' ? i * 10 : i / 10]),
    )
  }
  expect(reasons(gateway).sort()).toEqual(['cut_short', 'cut_short', 'no_columns', 'no_columns'])
})

test('another device on the same line without a hang-up: what the first is owed is not said to the second', async () => {
  const cable = openCable()
  cleanUps.push(cable.unplug)
  const { agent, gateway } = await start(cable.path, { acknowledge: true, device: undefined })
  await isOpen(agent)
  cable.write(jsonLine({ device: 'a', sequence: 5, value: 1 }) + jsonLine({ device: 'b', sequence: 7, value: 2 }))
  await until('both stored', () => bySequence(gateway.batches, 'b', 'value').has(7))
  expect(bySequence(gateway.batches, 'a', 'value').has(5)).toBe(true)
  await until('acknowledged', () => /ack 7/.test(cable.received().toString()))
  await systemClock.sleep(100)
  expect(cable.received().toString()).not.toMatch(/ack 5/)
  expect(agent.log.find(({ msg }) => msg === 'another device speaks on this port')).toMatchObject({
    before: 'a',
    now: 'b',
  })
})

test('two inputs whose paths lead to one port: the second is told so, and the first goes on', async () => {
  const socket = createSocket()
  const cable = socket.plug()
  const gateway = await startGateway()
  cleanUps.push(() => gateway.stop())
  const input = (name: string, path: string) => ({
    name,
    type: 'serial',
    path,
    framing: { type: 'json-lines' },
    device: name,
    kind: 'vibration',
  })
  const agent = await startAgent({
    folder: temporaryFolder(),
    gatewayPort: gateway.port,
    inputs: [input('first', socket.path), input('second', cable.path)],
  })
  cleanUps.push(() => agent.stop())
  await until('one is refused', async () => (await agent.status()).inputs.some(({ state }) => state === 'down'))
  const said = (await agent.status()).inputs.find(({ state }) => state === 'down')?.detail
  expect(said).toContain('another input of this agent has the port open that')
  await until('the other reads', async () => {
    cable.write('{"sequence":1,"value":1}\n')
    await systemClock.sleep(50)
    return gateway.batches.some(({ blocks }) => blocks.length > 0)
  })
})

test('a port that another program has open is said so, with its name and number, and read when that lets go', async () => {
  const cable = openCable()
  cleanUps.push(cable.unplug)
  const holder = spawn('flock', ['-x', cable.path, 'sleep', '60'])
  cleanUps.push(() => holder.kill('SIGKILL'))
  await until('it is held', () => spawnSync('flock', ['-n', '-x', cable.path, 'true']).status === 1)
  const { agent } = await start(cable.path)
  await until('said', async () => (await agent.status()).inputs[0]?.state === 'down')
  expect((await agent.status()).inputs[0]?.detail).toMatch(
    new RegExp(`another program has ${cable.path} open: .*\\(process \\d+\\)`),
  )
  const child = Number(readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, 'utf8').trim())
  holder.kill('SIGKILL')
  if (child > 0) process.kill(child, 'SIGKILL')
  await isOpen(agent)
})

test('a port that may not be used is said so, with the group that may', async () => {
  const cable = openCable()
  cleanUps.push(cable.unplug)
  chmodSync(cable.path, 0)
  const program = `import { openPort } from '${join(import.meta.dirname, 'serial-port.ts')}'
    await openPort({ path: '${cable.path}', baud: 9600, keepDtr: true }).catch((e) => console.log(e.message + ' | ' + e.hint))`
  const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', program]
  // Root is let in everywhere, unless it gives that up.
  const isRoot = process.getuid?.() === 0
  const [command = '', ...rest] = isRoot
    ? ['setpriv', '--bounding-set', '-dac_override,-dac_read_search', ...node]
    : node
  const { stdout, stderr } = spawnSync(command, rest, { timeout: 20_000 })
  expect(`${stdout}${stderr}`).toContain(`no permission to open ${cable.path}`)
  expect(`${stdout}`).toContain(`sudo usermod -a -G dialout ${userInfo().username}`)
})
