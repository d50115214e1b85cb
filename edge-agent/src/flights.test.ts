import { createSimulatedClock } from '@tributary/runtime/testing'
import { expect, test } from 'vitest'
import { createFlights } from './flights.ts'

function flightsWith() {
  const clock = createSimulatedClock()
  const flights = createFlights({ clock, answerMsMax: 10_000 })
  const ended: string[] = []
  flights.overdue.catch((error: Error) => ended.push(error.message))
  const answers = new Map<number, () => void>()
  const outcomes = new Map<number, string>()
  const send = (sequence: number) =>
    void flights
      .send(sequence, (acknowledged) => answers.set(sequence, acknowledged))
      .then(
        () => outcomes.set(sequence, 'acknowledged'),
        (error: Error) => outcomes.set(sequence, error.message),
      )
  return { clock, flights, ended, outcomes, send, answer: (sequence: number) => answers.get(sequence)?.() }
}

test('each is told of its own PUBACK, in whatever order they come', async () => {
  const { clock, flights, outcomes, send, answer } = flightsWith()
  for (const sequence of [1, 2, 9]) send(sequence)
  answer(9)
  answer(9)
  await clock.advance(0)
  expect([...outcomes]).toEqual([[9, 'acknowledged']])
  expect(flights.size).toBe(2)
})

test('silence ends the connection, counted from the last PUBACK', async () => {
  const { clock, ended, send, answer } = flightsWith()
  await clock.advance(60_000)
  send(1)
  await clock.advance(9_000)
  send(2)
  answer(1)
  await clock.advance(9_900)
  expect(ended).toEqual([])
  await clock.advance(200)
  expect(ended).toEqual(['no answer to batch 2 within 10000 ms'])
})

test('nothing in flight, nothing to wait for', async () => {
  const { clock, ended, send, answer } = flightsWith()
  send(1)
  answer(1)
  await clock.advance(600_000)
  expect(ended).toEqual([])
})

test('one batch that is never answered ends it too, although others are', async () => {
  const { clock, ended, send, answer } = flightsWith()
  send(1)
  for (let sequence = 2; sequence < 100 && ended.length === 0; sequence++) {
    send(sequence)
    answer(sequence)
    await clock.advance(1_000)
  }
  expect(ended).toEqual(['no answer to batch 1 within 60000 ms'])
})

test('at the end all that is in flight fails, and a late PUBACK counts for nothing', async () => {
  const { clock, flights, outcomes, send, answer } = flightsWith()
  send(1)
  flights.close(new Error('the link broke'))
  answer(1)
  send(2)
  await clock.advance(0)
  expect([...outcomes]).toEqual([
    [1, 'the link broke'],
    [2, 'the link broke'],
  ])
})
