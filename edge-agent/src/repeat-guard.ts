/**
 * Tells a sample that was sent again from a new one: a broker or a device repeats what it got no acknowledgement for, and the
 * agent may have died between the append and the acknowledgement.
 *
 * Guarantee: a sample whose key is among the newest `KEYS_PER_DEVICE_MIN` of its device is recognised, unless so many
 * devices speak at once that the device was forgotten. The key is a 53-bit hash of device, kind, all fields, and the device's own
 * time; without such a time of all that and the field `sequence`. A sample with neither is never taken for a repeat.
 * Not: a device without a clock that starts counting again and measures exactly what it measured before under that number is
 * taken for a repeat while the old sample is remembered.
 */
import { createKeySet, type KeySet } from './key-set.ts'
import type { FieldValue, Sample } from './sample.ts'

const KEYS_PER_DEVICE_MIN = 4_096
/** Keys of all devices together; beyond it the device that was quiet for longest is forgotten. */
const KEYS_MAX = 131_072

export interface RepeatGuard {
  /** Whether the sample was seen before; remembers it. */
  isRepeat(sample: Sample): boolean
  /** Remembers a sample read back from the spool, where one cannot tell whose clock its time came from. */
  remember(sample: Sample, timeMs: number): void
}

/** Two generations: when the younger is full the older goes, so between one and two times the minimum are known. */
interface Memory {
  younger: KeySet
  older: KeySet
}

export function createRepeatGuard(keysMax = KEYS_MAX, keysPerDeviceMin = KEYS_PER_DEVICE_MIN): RepeatGuard {
  const devices = new Map<string, Memory>()
  let keyCount = 0
  /** Who spoke last, and need not be looked up. */
  let newest: { readonly device: string; readonly memory: Memory } | undefined

  const memoryOf = (device: string): Memory => {
    if (newest?.device === device) return newest.memory
    const memory = devices.get(device) ?? { younger: createKeySet(), older: createKeySet() }
    devices.delete(device)
    devices.set(device, memory)
    newest = { device, memory }
    return memory
  }
  const remember = (memory: Memory, key: number) => {
    if (memory.younger.has(key)) return
    memory.younger.add(key)
    keyCount++
    if (memory.younger.size >= keysPerDeviceMin) {
      keyCount -= memory.older.size
      memory.older = memory.younger
      memory.younger = createKeySet()
    }
    if (keyCount <= keysMax) return
    for (const [device, { younger, older }] of devices) {
      if (keyCount <= keysMax || devices.size === 1) break
      keyCount -= younger.size + older.size
      devices.delete(device)
    }
  }
  return {
    isRepeat(sample) {
      if (sample.measuredAtMs === undefined && sample.sequence === undefined) return false
      const memory = memoryOf(sample.device)
      const key = keyOf(sample, sample.measuredAtMs)
      if (memory.younger.has(key) || memory.older.has(key)) return true
      remember(memory, key)
      return false
    },
    remember(sample, timeMs) {
      const memory = memoryOf(sample.device)
      remember(memory, keyOf(sample, timeMs))
      if (sample.sequence !== undefined) remember(memory, keyOf(sample, undefined))
    },
  }
}

/** The same whatever the order of the fields: what is read back from columns has another. */
export function keyOf(sample: Sample, timeMs: number | undefined): number {
  const { names, values } = sample
  if (names !== seeded.names) seeded = { names, seeds: names.map(seedOfNumber) }
  let low = 0
  let high = 0
  for (let i = 0; i < names.length; i++) {
    const value = values[i] as FieldValue
    let seedLow: number
    if (typeof value === 'number') {
      seedLow = seeded.seeds[i] as number
      bits.setFloat64(0, value)
    } else {
      seedLow = hashText(names[i] as string, 0x811c9dc5 ^ (typeof value === 'boolean' ? 2 : 3))
      bits.setFloat64(0, typeof value === 'string' ? 0 : Number(value))
    }
    let seedHigh = Math.imul(seedLow, 0x9e3779b1) ^ 0x9747b28c
    if (typeof value === 'string') {
      seedLow = hashText(value, seedLow)
      seedHigh = hashText(value, seedHigh)
    }
    low = (low + mix(seedLow)) | 0
    high = (high + mix(seedHigh)) | 0
  }
  const h = hashText(sample.kind, 0x5bd1e995)
  bits.setFloat64(0, timeMs ?? -1)
  low = (low ^ mix(h)) >>> 0
  high = (high ^ mix(h ^ 0x1b873593)) >>> 0
  return (high & 0x1fffff) * 2 ** 32 + low
}

const seedOfNumber = (name: string): number => hashText(name, 0x811c9dc5 ^ 1)
/** Samples that were read by one layout share the list of their names. */
let seeded: { readonly names: readonly string[]; readonly seeds: readonly number[] } = { names: [], seeds: [] }
const bits = new DataView(new ArrayBuffer(8))

/** FNV-1a. */
function hashText(text: string, seed: number): number {
  let h = seed
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return h
}

/** The bits of the number set last, into a hash, finished as MurmurHash3 does. */
function mix(seed: number): number {
  let h = Math.imul(seed ^ bits.getUint32(0), 0x85ebca6b)
  h = Math.imul((h << 13) ^ (h >>> 19) ^ bits.getUint32(4), 0xcc9e2d51)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
