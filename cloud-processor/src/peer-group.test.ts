import { contractSchema } from '@tributary/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { normal, seededRandom } from './detectors/simulated-series.ts'
import {
  createPeerGroup,
  judgeThrough,
  medianWithout,
  noteMeans,
  PEERS_MAX,
  type PeerGroup,
  restorePeerGroup,
  savePeerGroup,
} from './peer-group.ts'

const contract = contractSchema.parse({
  kind: 'room',
  version: 1,
  description: 'x',
  interval: '1s',
  fields: {
    temperature_c: { type: 'float', label: 'Temperature', unit: '°C' },
    humidity_percent: { type: 'float', label: 'Humidity', unit: '%' },
  },
  detectors: { peers: ['temperature_c', 'humidity_percent'] },
})
const WIDTH_MS = 10_000
const create = () => createPeerGroup('hall', contract) as PeerGroup

/** Means of a window: five rooms that follow one weather, each from a place of its own. */
function meansOf(seed: number, w: number, odd?: { room: number; from: number }) {
  const random = seededRandom(seed * 7_919 + w)
  const weather = 3 * Math.sin(w / 200)
  return Array.from({ length: 5 }, (_, room) => {
    const offset = odd && odd.room === room && w >= odd.from ? 4 : 0
    return [20 + room + weather + offset + 0.1 * normal(random), 50 - 2 * room + 0.2 * normal(random)]
  })
}
const sayAll = (verdicts: ReturnType<typeof judgeThrough>) =>
  verdicts.map(
    ({ device, field, verdict, atMs }) =>
      `${atMs / WIDTH_MS} ${device} ${field} ${verdict.anomalous}: ${verdict.message}`,
  )

describe('a group of peers', () => {
  test('names the device that leaves the others, and no other', () => {
    const group = create()
    const said: string[] = []
    for (let w = 0; w < 500; w++) {
      for (const [room, means] of meansOf(1, w, { room: 2, from: 400 }).entries())
        noteMeans(group, `room-${room}`, 'hall/agent', w * WIDTH_MS, means)
      said.push(...sayAll(judgeThrough(group, (w + 1) * WIDTH_MS)))
    }
    expect(said.filter((one) => one.includes(' true: '))).toEqual([
      expect.stringMatching(/^403 room-2 temperature_c true: Temperature: 2\d\.\d\d °C, [34]\.\d\d above the/),
    ])
  })

  test('whatever order means come in, and however late it is judged, the same is said', () => {
    fc.assert(
      fc.property(fc.integer(), fc.array(fc.nat(30), { minLength: 20, maxLength: 20 }), (seed, steps) => {
        const odd = { room: 1, from: 100 }
        const [plain, mixed] = [create(), create()]
        const expected: string[] = []
        const said: string[] = []
        for (let w = 0; w < 160; w++) {
          for (const [room, means] of meansOf(seed, w, odd).entries())
            noteMeans(plain, `room-${room}`, 'hall/agent', w * WIDTH_MS, means)
          expected.push(...sayAll(judgeThrough(plain, (w + 1) * WIDTH_MS)))
        }
        const random = seededRandom(seed)
        let through = 0
        for (let i = 0; through < 160; i++) {
          const to = Math.min(160, through + 1 + (steps[i % steps.length] as number))
          const notes = []
          for (let w = through; w < to; w++)
            for (const [room, means] of meansOf(seed, w, odd).entries()) notes.push({ w, room, means, at: random() })
          for (const { w, room, means } of notes.sort((a, b) => a.at - b.at))
            noteMeans(mixed, `room-${room}`, 'hall/agent', w * WIDTH_MS, means)
          said.push(...sayAll(judgeThrough(mixed, to * WIDTH_MS)))
          through = to
        }
        expect(said).toEqual(expected)
        expect(said.some((one) => one.includes('room-1 temperature_c true'))).toBe(true)
      }),
      { numRuns: 10 },
    )
  })

  test('saved and restored at any window it says the same', () => {
    let group = create()
    const plain = create()
    for (let w = 0; w < 200; w++) {
      for (const [room, means] of meansOf(3, w, { room: 0, from: 120 }).entries())
        for (const one of [group, plain]) noteMeans(one, `room-${room}`, 'hall/agent', w * WIDTH_MS, [...means])
      group = restorePeerGroup(JSON.parse(JSON.stringify(savePeerGroup(group))), contract) as PeerGroup
      expect(sayAll(judgeThrough(group, w * WIDTH_MS))).toEqual(sayAll(judgeThrough(plain, w * WIDTH_MS)))
    }
    expect(savePeerGroup(group)).toEqual(savePeerGroup(plain))
  })

  test('a window that was judged is not judged again; a device with none has its last mean for three', () => {
    const group = create()
    for (let w = 0; w < 10; w++) {
      for (const [room, means] of meansOf(1, w).entries())
        if (room < 4 || w % 3 === 0) noteMeans(group, `room-${room}`, 'hall/agent', w * WIDTH_MS, means)
      judgeThrough(group, (w + 1) * WIDTH_MS)
    }
    expect(group.peers.get('room-0')?.states[0]?.peers).toBe(4)
    expect(group.peers.get('room-4')?.states[0]?.windows).toBe(4)
    noteMeans(group, 'room-0', 'hall/agent', 3 * WIDTH_MS, [99, 99])
    expect(group.waiting.size).toBe(0)
  })

  test('it is bounded: devices, windows that wait, devices that are gone', () => {
    const group = create()
    for (let i = 0; i < PEERS_MAX + 5; i++)
      expect(noteMeans(group, `room-${i}`, 'hall/agent', 0, [20, 50])).toBe(i < PEERS_MAX)
    for (let w = 0; w < 2_000; w++) noteMeans(group, 'room-1', 'hall/agent', w * WIDTH_MS, [20, 50])
    expect(group.waiting.size).toBeLessThanOrEqual(256)
    expect(Math.min(...group.waiting.keys())).toBe((2_000 - 256) * WIDTH_MS)
    judgeThrough(group, 8 * 86_400_000 + 2_000 * WIDTH_MS)
    expect(group.peers.size).toBe(0)
  })

  test('it goes with its contract: fields that stay keep what they learned, another width begins anew', () => {
    const group = create()
    for (const [room, means] of meansOf(1, 0).entries()) noteMeans(group, `room-${room}`, 'hall/agent', 0, means)
    judgeThrough(group, WIDTH_MS)
    const saved = savePeerGroup(group)
    const less = restorePeerGroup(saved, {
      ...contract,
      detectors: { ...contract.detectors, peers: ['humidity_percent'] },
    })
    expect(less?.peers.get('room-0')?.states).toEqual([group.peers.get('room-0')?.states[1]])
    expect(restorePeerGroup(saved, { ...contract, windows: [20_000] })).toBeUndefined()
    expect(restorePeerGroup(saved, undefined)).toBeUndefined()
  })

  test('the median of the others', () => {
    const of = (...values: number[]) => Float64Array.from(values)
    expect(medianWithout(of(1, 2, 3), 2)).toBe(2)
    expect(medianWithout(of(1, 2, 3, 4), 1)).toBe(3)
    expect(medianWithout(of(1, 2, 2, 9), 2)).toBe(2)
    expect(medianWithout(of(1), 1)).toBeNaN()
  })
})
