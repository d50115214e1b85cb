import { clockPong } from '@tributary/protocol'
import { createLogger, type KernelClock } from '@tributary/runtime'
import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { createClockServer } from './clock-server.ts'

const NOW_MS = Date.UTC(2026, 5, 1)

async function serve(mode: 'auto' | 'always' | 'never', kernel: KernelClock[], startMs = NOW_MS) {
  const clock = createSimulatedClock(startMs)
  const log: string[] = []
  const sent: { agent: string; channel: string; payload: string }[] = []
  let ask: (agent: string, payload: Uint8Array) => void = () => undefined
  const broker = {
    onClock: (callback: typeof ask) => {
      ask = callback
    },
    publish: (agent: string, channel: string, payload: string) => sent.push({ agent, channel, payload }) > 0,
  }
  const logger = createLogger('gateway', 'debug', { write: (line: string) => void log.push(JSON.parse(line).msg) })
  const readKernel = async () => (kernel.length > 1 ? kernel.shift() : kernel[0]) as KernelClock
  const server = createClockServer(mode, broker, readKernel, { clock, log: logger })
  await server.start(AbortSignal.timeout(5_000))
  const answerTo = (text: string) => {
    ask('pi-1', Buffer.from(text))
    const last = sent.pop()
    return last && { ...last, pong: clockPong.parse(JSON.parse(last.payload)) }
  }
  return { server, clock, log, answerTo, sent, stop: () => server.stop(AbortSignal.timeout(1_000)) }
}

test('a ping is answered to the agent that asked, with its number and the time of now', async () => {
  const { answerTo, clock, stop, sent } = await serve('auto', ['synchronised'])
  await clock.advance(1_234)
  expect(answerTo('{"type":"ping","id":7}')).toMatchObject({
    agent: 'pi-1',
    channel: 'clock',
    pong: { type: 'pong', id: 7, wallMs: NOW_MS + 1_234, trusted: true },
  })
  for (const rubbish of ['', '{}', 'null', '{"type":"ping"}', '{"type":"pong","id":1}', '\u0000'])
    expect(answerTo(rubbish)).toBeUndefined()
  expect(sent).toEqual([])
  await stop()
})

test.each([
  ['auto', 'synchronised', NOW_MS, true],
  ['auto', 'synchronised', 0, true],
  ['auto', 'not synchronised', NOW_MS, false],
  ['auto', 'unknown', NOW_MS, true],
  ['auto', 'unknown', 0, false],
  ['always', 'not synchronised', 0, true],
  ['never', 'synchronised', NOW_MS, false],
] as const)('mode %s, kernel %s, clock at %s: trusted %s', async (mode, kernel, startMs, expected) => {
  const { server, answerTo, stop } = await serve(mode, [kernel], startMs)
  expect(server.trusted).toBe(expected)
  expect(answerTo('{"type":"ping","id":1}')?.pong.trusted).toBe(expected)
  await stop()
})

test('trust comes and goes with the time service, and each is said once', async () => {
  const kernel: KernelClock[] = [
    'not synchronised',
    'not synchronised',
    'synchronised',
    'synchronised',
    'not synchronised',
  ]
  const { server, clock, log, stop } = await serve('auto', kernel)
  const seen: boolean[] = []
  for (let i = 0; i < 5; i++) {
    seen.push(server.trusted)
    await clock.advance(30_000)
  }
  expect(seen).toEqual([false, true, true, false, false])
  expect(log).toEqual([
    expect.stringMatching(/^the clock of this gateway is not trusted/),
    expect.stringMatching(/^agents may set their times/),
    expect.stringMatching(/^the clock of this gateway is not trusted/),
  ])
  await stop()
})
