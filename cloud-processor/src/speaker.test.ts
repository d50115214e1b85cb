import { contractSchema } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { speakerOf } from './speaker.ts'
import { partition, T } from './step-harness.ts'
import { blockOf, contextOf } from './testing.ts'

const contract = contractSchema.parse({
  kind: 'room',
  version: 1,
  description: 'x',
  interval: '1s',
  fields: { a: { type: 'float', label: 'A' }, b: { type: 'float', label: 'B' } },
  thresholds: [{ field: 'a', above: 50 }],
  detectors: { outlier: ['a'], peers: ['b'], together: [['a', 'b']] },
})

test('whichever detector spoke of an anomaly is found, with the state that it goes on with', () => {
  const p = partition(contextOf([contract]))
  const samples = Array.from({ length: 30 }, (_, s) => ({ timeMs: T + s * 1_000, values: { a: s, b: s } }))
  p.give({ sequence: 1, completeThroughMs: T + 30_000, blocks: [blockOf('room-1', 'room', samples)] })
  const of = (field: string, detector: string, device = 'room-1') =>
    speakerOf(p.state, {
      ...{ site: 'workshop', device, kind: 'room', field, detector },
      ...{ timeMs: T, value: 0, score: 1, message: '' },
    })
  const series = [...p.state.agents.values()][0]?.series[0]
  expect(of('', 'together_a+b')?.state).toBe(series?.together[0]?.state)
  expect(of('b', 'peers')?.state).toBe(p.state.peers.get('workshop/room')?.peers.get('room-1')?.states[0])
  for (const [field, detector] of [
    ['', 'together_a+b'],
    ['b', 'peers'],
    ['a', 'outlier'],
  ] as const) {
    const { detector: spoke, state } = of(field, detector) ?? {}
    spoke?.dismiss?.(state as object)
    expect(state).toMatchObject({ caution: Math.SQRT2 })
  }
  expect(of('a', 'threshold_above_50')?.detector.dismiss).toBeUndefined()
  expect([of('a', 'peers'), of('b', 'peers', 'room-9'), of('', 'together_b+a'), of('b', 'outlier')]).toEqual([
    ...Array(4),
  ])
})
