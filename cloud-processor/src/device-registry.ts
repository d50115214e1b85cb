/** Which device stands where: a YAML file that people edit, read at start and again when it changed. */
import { readFile, stat } from 'node:fs/promises'
import { isName, NAME_RULE } from '@tributary/protocol'
import { type Clock, ConfigError, errorCode, every, type Logger, messageOf, parseConfig } from '@tributary/runtime'
import { z } from 'zod'

const name = () => z.string().refine(isName, NAME_RULE)
const entry = z.strictObject({
  device: name(),
  /** Where it stands, when that is not the site of the gateway that it reports through. */
  site: name().optional(),
  line: z.string().default(''),
  /** What people call it. */
  name: z.string().default(''),
  location: z.string().default(''),
})
export type DeviceEntry = z.infer<typeof entry>

export const deviceRegistrySchema = z.strictObject({
  devices: z
    .array(entry)
    .max(100_000)
    .default([])
    .superRefine((devices, context) => {
      const seen = new Set<string>()
      for (const [i, { device }] of devices.entries()) {
        if (seen.has(device)) context.addIssue({ code: 'custom', path: [i, 'device'], message: 'is listed twice' })
        seen.add(device)
      }
    }),
})

export interface DeviceRegistry {
  find(device: string): DeviceEntry | undefined
  readonly size: number
  /** Reads the file; throws ConfigError when it has mistakes. */
  load(): Promise<void>
  /** Reads it again whenever it changed, until the signal aborts; mistakes are logged, and what was read before stays. */
  watch(signal: AbortSignal): Promise<void>
}

/** @param file undefined: no registry, every device stands at its gateway's site */
export function createDeviceRegistry(
  file: string | undefined,
  { clock, log, checkEveryMs = 2_000 }: { clock: Clock; log: Logger; checkEveryMs?: number },
): DeviceRegistry {
  let entries = new Map<string, DeviceEntry>()
  let version = ''
  const versionOf = async (path: string) => {
    const { mtimeMs, size, ino } = await stat(path)
    return `${mtimeMs}/${size}/${ino}`
  }
  const load = async (path: string) => {
    let found: string
    try {
      found = await versionOf(path)
    } catch (error) {
      const why = errorCode(error) === 'ENOENT' ? 'the file does not exist' : messageOf(error)
      throw new ConfigError(path, [{ path: '', message: why, line: undefined }], 'correct `registry` or leave it out')
    }
    const { devices } = parseConfig(path, await readFile(path, 'utf8'), deviceRegistrySchema)
    entries = new Map(devices.map((one) => [one.device, one]))
    version = found
  }
  return {
    find: (device) => entries.get(device),
    get size() {
      return entries.size
    },
    load: async () => {
      if (file !== undefined) await load(file)
    },
    watch: async (signal) => {
      if (file === undefined) return
      let refused = ''
      const look = async () => {
        const found = await versionOf(file).catch(() => 'gone')
        if (found === version || found === refused) return
        try {
          await load(file)
          refused = ''
          log.info({ file, devices: entries.size }, 'device registry read again')
        } catch (error) {
          refused = found
          log.error(
            { file, hint: 'correct the file; until then what was read before stays in force' },
            messageOf(error),
          )
        }
      }
      await every(checkEveryMs, look, { clock, signal })
    },
  }
}
