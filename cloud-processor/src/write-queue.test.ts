import { expect, test } from 'vitest'
import type { EffectWriter } from './effect-writer.ts'
import { contextOf, stateFor } from './testing.ts'
import { createWriteQueue, lingerMsFor } from './write-queue.ts'

const state = stateFor(contextOf())
const { signal } = new AbortController()
const soon = () => new Promise((resolve) => setImmediate(resolve))

/** A writer that tells what began, by the first sample time of the effects, and ends when it is told to. */
function createHeldWriter() {
  const began: number[] = []
  const ends: { resolve: () => void; reject: (error: Error) => void }[] = []
  const writer: EffectWriter = {
    write: (effects) =>
      new Promise<void>((resolve, reject) => {
        began.push(effects.sampleTimesMs[0] as number)
        ends.push({ resolve, reject })
      }),
  }
  return { writer, began, ends }
}

test('sets of effects are written one after the other, in order; a third is stepped into when the first is written', async () => {
  const { writer, began, ends } = createHeldWriter()
  const queue = createWriteQueue(writer)
  const launch = async (n: number) => {
    await queue.room()
    expect(queue.effects.sampleTimesMs).toEqual([])
    queue.effects.sampleTimesMs.push(n)
    queue.launch(state, signal)
  }
  await launch(1)
  await launch(2)
  let third = 'waits'
  const launched = launch(3).then(() => {
    third = 'launched'
  })
  await soon()
  expect({ began, third, isIdle: queue.isIdle }).toEqual({ began: [1], third: 'waits', isIdle: false })
  ends[0]?.resolve()
  await launched
  await soon()
  expect(began).toEqual([1, 2])
  let settled = false
  const settling = queue.settled().then(() => {
    settled = true
  })
  ends[1]?.resolve()
  await soon()
  expect({ began, settled, isIdle: queue.isIdle }).toEqual({ began: [1, 2, 3], settled: false, isIdle: false })
  ends[2]?.resolve()
  await settling
  expect(queue.isIdle).toBe(true)
})

test('a write that fails is told to whoever waits, and nothing is written after it', async () => {
  const { writer, began, ends } = createHeldWriter()
  const queue = createWriteQueue(writer)
  queue.effects.sampleTimesMs.push(1)
  queue.launch(state, signal)
  queue.effects.sampleTimesMs.push(2)
  queue.launch(state, signal)
  await soon()
  ends[0]?.reject(new Error('given up'))
  await expect(queue.room()).rejects.toThrow('given up')
  await expect(queue.settled()).rejects.toThrow('given up')
  expect({ began, isIdle: queue.isIdle }).toEqual({ began: [1], isIdle: false })
})

test('what a step that failed has left is not written', async () => {
  const { writer, began, ends } = createHeldWriter()
  const queue = createWriteQueue(writer)
  queue.effects.sampleTimesMs.push(1)
  queue.discard()
  queue.effects.sampleTimesMs.push(2)
  queue.launch(state, signal)
  await soon()
  expect(began).toEqual([2])
  ends[0]?.resolve()
  await queue.settled()
})

test('messages are collected for as long as the database needs, within limits', () => {
  expect([0, 2, 10, 60].map((lastWriteMs) => lingerMsFor(lastWriteMs, 100))).toEqual([10, 10, 40, 100])
  expect(lingerMsFor(10, 0)).toBe(0)
})
