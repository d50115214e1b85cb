import { describe, expect, it } from 'vitest'
import { backoffDelayMs, retry } from './backoff.ts'
import { every, systemClock } from './clock.ts'
import { PermanentError } from './errors.ts'
import { createSimulatedClock } from './simulated-clock.ts'

const { signal } = new AbortController()

describe('the simulated clock', () => {
  it('stands still until it is told to move, and runs timers in the order they fall due', async () => {
    const clock = createSimulatedClock(1_000)
    const events: string[] = []
    clock.after(20, () => events.push(`b ${clock.monotonicMs()}`))
    clock.after(10, () => {
      events.push(`a ${clock.monotonicMs()}`)
      clock.after(5, () => events.push(`c ${clock.monotonicMs()}`))
    })
    const cancel = clock.after(12, () => events.push('never'))
    cancel()
    await clock.advance(9)
    expect(events).toEqual([])
    await clock.advance(100)
    expect(events).toEqual(['a 10', 'c 15', 'b 20'])
    expect([clock.monotonicMs(), clock.wallMs()]).toEqual([109, 1_109])
  })

  it('can have its wall clock set, which durations do not notice', async () => {
    const clock = createSimulatedClock(1_000)
    let woken = false
    void clock.sleep(50).then(() => {
      woken = true
    })
    clock.setWall(0)
    await clock.advance(49)
    expect([clock.wallMs(), clock.monotonicMs(), woken]).toEqual([49, 49, false])
    await clock.advance(1)
    expect(woken).toBe(true)
  })
})

describe.each([
  ['system', () => systemClock],
  ['simulated', () => createSimulatedClock()],
])('the %s clock', (_, create) => {
  it('ends a sleep with the reason of its signal', async () => {
    const clock = create()
    const stop = new AbortController()
    const sleeping = clock.sleep(60_000, stop.signal)
    stop.abort(new Error('stopping'))
    await expect(sleeping).rejects.toThrow('stopping')
    await expect(clock.sleep(1, stop.signal)).rejects.toThrow('stopping')
  })
})

it('the system clock does not take a month for no time at all', async () => {
  let fired = false
  const cancel = systemClock.after(40 * 86_400_000, () => {
    fired = true
  })
  await systemClock.sleep(20)
  cancel()
  expect(fired).toBe(false)
})

it('work at an interval is done one call at a time until the signal', async () => {
  const clock = createSimulatedClock()
  const stop = new AbortController()
  const times: number[] = []
  const done = every(
    100,
    async () => {
      times.push(clock.monotonicMs())
      await clock.sleep(30)
    },
    { clock, signal: stop.signal },
  )
  await clock.advance(300)
  stop.abort()
  await clock.advance(100)
  await done
  expect(times).toEqual([0, 130, 260])
})

describe('retrying', () => {
  it('doubles its delays up to the largest, each from its upper half', () => {
    const backoff = { firstMs: 100, maxMs: 1_000 }
    expect([1, 2, 3, 4, 5, 1_000].map((attempt) => backoffDelayMs(backoff, attempt, () => 1))).toEqual([
      100, 200, 400, 800, 1_000, 1_000,
    ])
    expect(backoffDelayMs(backoff, 3, () => 0)).toBe(200)
  })

  const backoff = { firstMs: 100, maxMs: 1_000 }
  it('goes on until it works', async () => {
    const clock = createSimulatedClock()
    const failures: number[] = []
    const result = retry(
      async (attempt) => {
        if (attempt < 4) throw new Error('not yet')
        return `at attempt ${attempt}`
      },
      { clock, signal, backoff, onFailure: (_, attempt) => failures.push(attempt) },
    )
    await clock.advance(5_000)
    expect(await result).toBe('at attempt 4')
    expect(failures).toEqual([1, 2, 3])
  })

  it('ends at once for a permanent error, and when the signal aborts', async () => {
    const clock = createSimulatedClock()
    const isPermanent = (error: unknown) => error instanceof PermanentError
    const refused = retry(() => Promise.reject(new PermanentError('no such bucket')), {
      clock,
      signal,
      backoff,
      isPermanent,
    })
    await expect(refused).rejects.toThrow('no such bucket')
    const stop = new AbortController()
    const waiting = retry(() => Promise.reject(new Error('down')), { clock, signal: stop.signal, backoff })
    waiting.catch(() => undefined)
    await clock.advance(10)
    stop.abort(new Error('stopping'))
    await expect(waiting).rejects.toThrow('stopping')
  })
})
