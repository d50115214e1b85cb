import { closeSync, constants, existsSync, openSync } from 'node:fs'
import { SerialPort } from 'serialport'
import { expect, it } from 'vitest'
import { loadPseudoTerminals } from './pseudo-terminal.ts'
import { until } from './test-site.ts'

const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i))

it('carries every byte unchanged both ways, sees who has it open, and hangs up', async () => {
  const terminal = (await loadPseudoTerminals())()
  expect(terminal.poll()).toEqual({ open: false, received: Buffer.alloc(0) })
  const port = new SerialPort({ path: terminal.path, baudRate: 115_200 })
  const there: Buffer[] = []
  let disconnected: boolean | undefined
  port.on('data', (bytes: Buffer) => there.push(bytes))
  port.on('close', (error: { disconnected?: boolean } | null) => {
    disconnected = error?.disconnected
  })
  await until('open', () => port.isOpen && terminal.poll().open)
  expect(terminal.write(everyByte)).toBe(256)
  await until('bytes there', () => Buffer.concat(there).length >= 256)
  expect(Buffer.concat(there)).toEqual(everyByte)
  port.write(everyByte)
  const here: Uint8Array[] = []
  await until('bytes here', () => {
    here.push(terminal.poll().received)
    return Buffer.concat(here).length >= 256
  })
  expect(Buffer.concat(here)).toEqual(everyByte)
  terminal.close()
  await until('hang-up', () => disconnected === true)
  expect(existsSync(terminal.path)).toBe(false)
})

it('takes no more than fits when nobody reads, and never waits', async () => {
  const terminal = (await loadPseudoTerminals())()
  const reader = openSync(terminal.path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK)
  try {
    let taken = 0
    for (let i = 0; i < 1_000; i++) taken += terminal.write(Buffer.alloc(4_096, 1))
    expect(taken).toBeGreaterThan(1_000)
    expect(taken).toBeLessThan(1_000_000)
    expect(terminal.write(Buffer.from('x'))).toBe(0)
    closeSync(reader)
    expect(terminal.poll().open).toBe(false)
  } finally {
    terminal.close()
  }
})
