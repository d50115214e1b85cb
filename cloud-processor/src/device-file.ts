/** Devices in a YAML file that people edit: one entry a device, or several with different `from` for one that moved. */
import { readFile, stat } from 'node:fs/promises'
import type { Contracts } from '@tributary/protocol'
import { ConfigError, errorCode, messageOf, parseConfig } from '@tributary/runtime'
import { z } from 'zod'
import {
  type DeviceEntry,
  type DeviceRecord,
  type DeviceThreshold,
  deviceEntrySchema,
  recordsOf,
} from './device-record.ts'

const ENTRIES_MAX = 100_000

export const deviceRegistrySchema = z.strictObject({
  devices: z
    .array(deviceEntrySchema)
    .max(ENTRIES_MAX)
    .default([])
    .superRefine((devices, context) => {
      for (const i of repeatedEntries(devices))
        context.addIssue({
          code: 'custom',
          path: [i, 'device'],
          message: 'is listed twice; one that moved has several entries, each with another `from`',
        })
    }),
})

/** @returns why no detector can ever judge by it; undefined when one can */
export function limitMistake({ field, kind }: DeviceThreshold, contracts: Contracts): string | undefined {
  const contract = kind === undefined ? undefined : contracts.get(kind)
  if (kind !== undefined && contract === undefined) return `there is no contract for the kind "${kind}"`
  const fields = (contract === undefined ? [...contracts.values()] : [contract]).flatMap((one) =>
    Object.hasOwn(one.fields, field) ? [one.fields[field]] : [],
  )
  if (fields.some((one) => one?.type !== 'string' && one?.sensitivity === 'none')) return undefined
  if (fields.some((one) => one?.sensitivity !== 'none'))
    return `"${field}" is sensitive, and an alert about it would tell its values`
  return `${kind === undefined ? 'no contract has' : `the contract of ${kind} has not`} a field "${field}" that can have limits`
}

/** Indices of entries that say something else of a device for the same time than one before them. */
export function repeatedEntries(entries: readonly Pick<DeviceEntry, 'device' | 'from'>[]): number[] {
  const seen = new Set<string>()
  return entries.flatMap(({ device, from }, i) => {
    const key = `${device} ${from ?? ''}`
    if (seen.has(key)) return [i]
    seen.add(key)
    return []
  })
}

/** Changes whenever the file did; 'gone' when it is not there. */
export async function versionOfFile(path: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(path)
    return `${mtimeMs}/${size}/${ino}`
  } catch {
    return 'gone'
  }
}

/** @throws ConfigError with every mistake and its line */
export async function readDeviceFile(path: string): Promise<Map<string, DeviceRecord>> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const why = errorCode(error) === 'ENOENT' ? 'the file does not exist' : messageOf(error)
    throw new ConfigError(path, [{ path: '', message: why, line: undefined }], 'correct `registry` or leave it out')
  }
  return recordsOf(parseConfig(path, text, deviceRegistrySchema).devices)
}
