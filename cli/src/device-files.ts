/** Devices out of files that people edit: YAML, or tables as CSV. */
import { readFile } from 'node:fs/promises'
import { type DeviceEntry, deviceRegistrySchema, limitMistake, repeatedEntries } from '@tributary/cloud-processor'
import { type Contracts, readContracts } from '@tributary/protocol'
import { ConfigError, type ConfigMistake, errorCode, messageOf, parseConfig, UserError } from '@tributary/runtime'
import { parseDeviceCsv } from './device-csv.ts'

/** More of one import are refused: the registry is for what people have placed. */
const ENTRIES_MAX = 100_000

interface Found {
  readonly file: string
  readonly line: number | undefined
  /** Where in the file it stands, when it has no line. */
  readonly path: string
  readonly entry: DeviceEntry
}

/**
 * @param contractsFolder fields of limits are looked for there
 * @returns all entries of a device together, in the order of the files
 * @throws UserError with every mistake of every file
 */
export async function readDeviceFiles(
  files: readonly string[],
  contractsFolder: string | undefined,
): Promise<Map<string, DeviceEntry[]>> {
  const contracts = contractsFolder === undefined ? undefined : await readContracts(contractsFolder)
  const mistakes = new Map<string, ConfigMistake[]>(files.map((file) => [file, []]))
  const found: Found[] = []
  for (const file of mistakes.keys()) {
    const note = (mistake: ConfigMistake) => mistakes.get(file)?.push(mistake)
    const text = await readText(file, note)
    if (text === undefined) continue
    if (/\.csv$/i.test(file)) {
      const table = parseDeviceCsv(text)
      for (const { entry, line } of table.entries) found.push({ file, line, path: '', entry })
      for (const mistake of table.mistakes) note(mistake)
    } else
      try {
        const { devices } = parseConfig(file, text, deviceRegistrySchema)
        for (const [i, entry] of devices.entries()) found.push({ file, line: undefined, path: `devices[${i}].`, entry })
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        for (const mistake of error.mistakes) note(mistake)
      }
  }
  noteTogether(found, contracts, (file, mistake) => mistakes.get(file)?.push(mistake))
  const wrong = [...mistakes].filter(([, list]) => list.length > 0)
  if (wrong.length > 0)
    throw new UserError(
      wrong
        .map(
          ([file, list]) =>
            new ConfigError(
              file,
              list.sort((a, b) => (a.line ?? 0) - (b.line ?? 0)),
            ).message,
        )
        .join('\n'),
      { hint: 'nothing was changed; correct the files and run it again' },
    )
  const devices = new Map<string, DeviceEntry[]>()
  for (const { entry } of found) devices.set(entry.device, [...(devices.get(entry.device) ?? []), entry])
  return devices
}

async function readText(file: string, note: (mistake: ConfigMistake) => void): Promise<string | undefined> {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(file))
  } catch (error) {
    const message =
      errorCode(error) === 'ENOENT'
        ? 'the file does not exist'
        : error instanceof TypeError
          ? 'is not UTF-8: save it as such (spreadsheets call it "CSV UTF-8")'
          : messageOf(error)
    note({ path: '', message, line: undefined })
    return undefined
  }
}

/** What is wrong with entries that are right alone. */
function noteTogether(
  found: readonly Found[],
  contracts: Contracts | undefined,
  note: (file: string, mistake: ConfigMistake) => void,
): void {
  for (const i of repeatedEntries(found.map(({ entry }) => entry))) {
    const { file, line, path, entry } = found[i] as Found
    const message = `${entry.device} is listed twice; one that moved has several entries, each with another \`from\``
    note(file, { path: `${path}device`, message, line })
  }
  if (contracts !== undefined)
    for (const { file, line, path, entry } of found)
      for (const limit of entry.thresholds) {
        const message = limitMistake(limit, contracts)
        if (message !== undefined) note(file, { path: `${path}thresholds`, message, line })
      }
  const beyond = found[ENTRIES_MAX]
  if (beyond) note(beyond.file, { path: '', message: `more than ${ENTRIES_MAX} entries together`, line: beyond.line })
}
