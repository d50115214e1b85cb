/** Devices out of files that people edit: YAML, or tables as CSV. */
import { readFile } from 'node:fs/promises'
import { type DeviceEntry, deviceRegistrySchemaFor, limitMistake, repeatedEntries } from '@tributary/cloud-processor'
import { type Contracts, readContracts } from '@tributary/protocol'
import { ConfigError, type ConfigMistake, errorCode, messageOf, parseConfig } from '@tributary/runtime'
import { parseDeviceCsv } from './device-csv.ts'

/**
 * @param contractsFolder fields of limits are looked for there
 * @returns all entries of a device together, in the order of the files
 * @throws ConfigError with every mistake of the first file that has some
 */
export async function readDeviceFiles(
  files: readonly string[],
  contractsFolder: string | undefined,
): Promise<Map<string, DeviceEntry[]>> {
  const contracts = contractsFolder === undefined ? undefined : await readContracts(contractsFolder)
  const all: { file: string; line: number | undefined; entry: DeviceEntry }[] = []
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch((error: unknown) => {
      const message = errorCode(error) === 'ENOENT' ? 'the file does not exist' : messageOf(error)
      throw new ConfigError(file, [{ path: '', message, line: undefined }])
    })
    if (/\.csv$/i.test(file)) all.push(...readTable(file, text, contracts))
    else
      for (const entry of parseConfig(file, text, deviceRegistrySchemaFor(contracts)).devices)
        all.push({ file, line: undefined, entry })
  }
  for (const i of repeatedEntries(all.map(({ entry }) => entry))) {
    const { file, line, entry } = all[i] as (typeof all)[number]
    const message = 'is listed twice; one that moved has several entries, each with another `from`'
    throw new ConfigError(file, [{ path: entry.device, message, line }])
  }
  const devices = new Map<string, DeviceEntry[]>()
  for (const { entry } of all) devices.set(entry.device, [...(devices.get(entry.device) ?? []), entry])
  return devices
}

function readTable(file: string, text: string, contracts: Contracts | undefined) {
  const entries = parseDeviceCsv(file, text)
  const repeated = new Set(repeatedEntries(entries.map(({ entry }) => entry)))
  const mistakes = entries.flatMap(({ entry, line }, i): ConfigMistake[] => [
    ...(repeated.has(i)
      ? [{ line, path: 'device', message: `${entry.device} is listed twice; give each line another \`from\`` }]
      : []),
    ...entry.thresholds.flatMap((limit) => {
      const message = contracts && limitMistake(limit, contracts)
      return message === undefined ? [] : [{ line, path: 'thresholds', message }]
    }),
  ])
  if (mistakes.length > 0) throw new ConfigError(file, mistakes)
  return entries.map(({ entry, line }) => ({ file, line, entry }))
}
