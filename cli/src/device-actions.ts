/** What `tributary device` does. */
import {
  ALWAYS_MS,
  type DeviceBucket,
  DeviceChangedError,
  type DeviceRecord,
  type DeviceThreshold,
  deviceEntrySchema,
  entriesOf,
  instant,
  isSameRecord,
  limitMistake,
  openDeviceBucket,
  placementAt,
} from '@tributary/cloud-processor'
import { readContracts } from '@tributary/protocol'
import { messageOf, systemClock, UserError } from '@tributary/runtime'
import { changeDevice, type DeviceChange, importDevice, removeDevice } from './device-edits.ts'
import { readDeviceFiles } from './device-files.ts'
import { sayLimit } from './device-limit.ts'
import { withNats } from './nats-connection.ts'
import { count, print, printJson, table } from './print.ts'
import { createProgress } from './progress.ts'

const EXIT_INTERRUPTED = 130
const TRIES_MAX = 5
const IN_FLIGHT = 32

interface Where {
  readonly nats: string
  readonly bucket: string
}
interface EditOptions extends Where {
  readonly json?: boolean
  readonly dryRun?: boolean
}

/** @param option for the message */
function timeOf(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (text === 'now') return Math.floor(systemClock.wallMs())
  if (text === 'always') return ALWAYS_MS
  const parsed = instant().safeParse(text)
  if (parsed.success) return parsed.data
  throw new UserError(`${option} must be "now", "always" or a time with its zone (got "${text}")`, {
    hint: `such as ${option} 2026-05-01T08:00:00Z`,
  })
}

/** Reads, changes and writes one device; again when somebody else was quicker. @returns the record before and after */
async function edit(
  bucket: DeviceBucket | undefined,
  device: string,
  change: (record: DeviceRecord | undefined) => DeviceRecord,
  dryRun: boolean | undefined,
): Promise<{ before: DeviceRecord | undefined; after: DeviceRecord }> {
  for (let attempt = 1; ; attempt++) {
    const stored = await bucket?.get(device)
    const before = stored?.record ?? undefined
    const after = change(before)
    if (dryRun || isSameRecord(before, after)) return { before, after }
    try {
      await bucket?.put(device, after, stored?.revision ?? 0)
      return { before, after }
    } catch (error) {
      if (!(error instanceof DeviceChangedError) || attempt >= TRIES_MAX) throw error
    }
  }
}

const open = (connection: Parameters<typeof openDeviceBucket>[0], options: EditOptions) =>
  openDeviceBucket(connection, options.bucket, { create: !options.dryRun })

export async function setDevice(
  device: string,
  options: EditOptions & {
    site?: string
    line?: string
    name?: string
    location?: string
    threshold?: DeviceThreshold[]
    clearThresholds?: boolean
    from?: string
    contracts?: string
  },
): Promise<void> {
  const { site, line, name, location, threshold: thresholds, clearThresholds } = options
  const given = { site, line, name, location, thresholds, clearThresholds }
  const change = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as DeviceChange
  const checked = deviceEntrySchema.safeParse({ device, ...(({ clearThresholds: _, ...entry }) => entry)(change) })
  if (!checked.success)
    throw new UserError(checked.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '))
  if (options.contracts !== undefined) {
    const contracts = await readContracts(options.contracts)
    const mistakes = (thresholds ?? []).flatMap((limit) => limitMistake(limit, contracts) ?? [])
    if (mistakes.length > 0) throw new UserError(`--threshold: ${mistakes.join('; ')}`)
  }
  if (Object.keys(change).length === 0)
    throw new UserError('nothing is to be set', { hint: '`tributary device set --help` lists what can be' })
  const nowMs = Math.floor(systemClock.wallMs())
  const fromMs = timeOf('--from', options.from)
  const { before, after } = await withNats(options.nats, async (connection) =>
    edit(
      await open(connection, options),
      device,
      (record) => changeDevice(record, change, { fromMs, nowMs }),
      options.dryRun,
    ),
  )
  const changed = !isSameRecord(before, after)
  if (options.json) printJson({ device, changed, dryRun: options.dryRun ?? false, entries: entriesOf(device, after) })
  else if (!changed) print(`${device}: nothing changes`)
  else {
    print(
      `${device}: ${before === undefined ? 'entered' : 'changed'}${options.dryRun ? ' (dry run: nothing was done)' : ''}`,
    )
    print(tableOf([[device, after]], true))
  }
}

export async function listDevices(
  options: Where & { site?: string; at?: string; history?: boolean; json?: boolean },
): Promise<void> {
  const atMs = timeOf('--at', options.at) ?? systemClock.wallMs()
  const stored = await withNats(options.nats, async (connection) => {
    const bucket = await openDeviceBucket(connection, options.bucket, { create: false })
    return bucket === undefined ? undefined : await bucket.all()
  })
  const devices = [...(stored ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [device, { record }] of devices)
    if (record === null)
      process.stderr.write(
        `${device}: what lies there is no record; write it with \`tributary device set ${device}\`\n`,
      )
  const shown = devices.flatMap(([device, { record }]): [string, DeviceRecord][] => {
    const now = record ? placementAt(record, atMs) : undefined
    if (!record || (options.site !== undefined && now?.site !== options.site)) return []
    if (options.history) return [[device, record]]
    return now === undefined || now.removed ? [] : [[device, { version: 1, placements: [now] }]]
  })
  if (options.json) printJson({ devices: shown.flatMap(([device, record]) => entriesOf(device, record)) })
  else if (stored === undefined) print('there is no registry yet; `tributary device set` or `import` makes it')
  else if (shown.length === 0) print('no devices')
  else print(tableOf(shown, options.history ?? false))
}

function tableOf(devices: readonly (readonly [string, DeviceRecord])[], history: boolean): string {
  const rows = devices.flatMap(([device, { placements }]) =>
    placements.map((p) => [
      device,
      p.fromMs === ALWAYS_MS ? 'always' : new Date(p.fromMs).toISOString(),
      p.removed ? '(removed)' : (p.site ?? '(its gateway’s)'),
      p.line,
      p.name,
      p.location,
      p.thresholds.map(sayLimit).join(' '),
    ]),
  )
  return table(['device', history ? 'from' : 'since', 'site', 'line', 'name', 'location', 'limits'], rows)
}

export async function importDevices(files: string[], options: EditOptions & { contracts?: string }): Promise<void> {
  const devices = await readDeviceFiles(files, options.contracts)
  const nowMs = Math.floor(systemClock.wallMs())
  const done: { device: string; change: 'added' | 'changed' | 'unchanged' }[] = []
  const stopping = new AbortController()
  const onSignal = () => stopping.abort()
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const shown = createProgress(process.stderr, systemClock)
  try {
    await withNats(options.nats, async (connection) => {
      const bucket = await open(connection, options)
      const waiting = devices.entries()
      const work = async () => {
        for (const [device, entries] of waiting) {
          if (stopping.signal.aborted) return
          const { before, after } = await edit(
            bucket,
            device,
            (record) => importDevice(record, entries, nowMs),
            options.dryRun,
          )
          const change = before === undefined ? 'added' : isSameRecord(before, after) ? 'unchanged' : 'changed'
          done.push({ device, change })
          shown.say(() => `${count(done.length)} of ${count(devices.size)} devices`)
        }
      }
      await Promise.all(Array.from({ length: IN_FLIGHT }, work))
    }).catch((error: unknown) => {
      if (done.length === 0) throw error
      const far = `${count(done.length)} of ${count(devices.size)} devices are entered`
      throw new UserError(`${messageOf(error)}; ${far}`, { cause: error, hint: 'run it again for the rest' })
    })
  } finally {
    shown.done()
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
  const sum = { added: 0, changed: 0, unchanged: 0 }
  for (const { change } of done) sum[change] += 1
  done.sort((a, b) => (a.device < b.device ? -1 : 1))
  if (options.json) printJson({ ...sum, dryRun: options.dryRun ?? false, devices: done })
  else {
    const how = options.dryRun ? 'dry run, nothing was done: ' : ''
    print(`${how}${count(sum.added)} added, ${count(sum.changed)} changed, ${count(sum.unchanged)} as they were`)
  }
  if (!stopping.signal.aborted) return
  process.stderr.write(
    `interrupted after ${count(done.length)} of ${count(devices.size)} devices; run it again for the rest\n`,
  )
  process.exitCode = EXIT_INTERRUPTED
}

export async function removeDevices(
  devices: string[],
  options: EditOptions & { from?: string; purge?: boolean },
): Promise<void> {
  const fromMs = timeOf('--from', options.from) ?? Math.floor(systemClock.wallMs())
  const removeOne = async (bucket: DeviceBucket, device: string) => {
    if (options.purge) await bucket.delete(device)
    else await edit(bucket, device, (record) => removeDevice(record ?? { version: 1, placements: [] }, fromMs), false)
  }
  await withNats(options.nats, async (connection) => {
    const bucket = await openDeviceBucket(connection, options.bucket, { create: false })
    const known = await Promise.all(devices.map(async (device) => (await bucket?.get(device))?.record))
    const unknown = devices.filter(
      (_, i) => known[i] === undefined || (known[i]?.placements.at(-1)?.removed === true && !options.purge),
    )
    if (bucket === undefined || unknown.length > 0)
      throw new UserError(`the registry does not have ${unknown.join(', ')}; nothing was removed`, {
        hint: '`tributary device list` names those it has',
      })
    if (options.dryRun) return
    for (const [i, device] of devices.entries())
      await removeOne(bucket, device).catch((error: unknown) => {
        const done = i === 0 ? 'nothing was removed' : `removed: ${devices.slice(0, i).join(', ')}`
        throw new UserError(`${device}: ${messageOf(error)}; ${done}`, { cause: error })
      })
  })
  if (options.json) printJson({ removed: devices, dryRun: options.dryRun ?? false })
  else print(`${options.dryRun ? 'dry run, nothing was done; would remove' : 'removed'} ${devices.join(', ')}`)
}
