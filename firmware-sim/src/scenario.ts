/** Scenarios in YAML: which devices there are, on which links, and what goes wrong when. All mistakes are reported at once. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isName, NAME_RULE } from '@tributary/protocol'
import { durationMs, loadConfig } from '@tributary/runtime'
import { z } from 'zod'
import { DEVICE_CLASSES, type DeviceClass, type DeviceClassName } from './device-class.ts'

/** Samples that a device keeps at most until they are acknowledged. */
export const RING_SAMPLES_DEFAULT = 20_000
export const RING_SAMPLES_MAX = 1_000_000
export const DEVICES_MAX = 256

const serialLink = z.strictObject({
  framing: z.enum(['json', 'csv', 'cobs']),
  /** The CRC-16 suffix of the text framings; COBS always has one. */
  checksum: z.boolean().default(true),
  acknowledge: z.boolean().default(true),
  ring_samples: z.int().min(1).max(RING_SAMPLES_MAX).default(RING_SAMPLES_DEFAULT),
  /** Send `device` and `kind` in every sample: whoever reads the port can tell who speaks. */
  announce: z.boolean().default(false),
  /** CSV: send `#columns:` when the port opens and every 10 s. */
  announce_columns: z.boolean().default(false),
})

const mqttLink = z.strictObject({
  topic: z.string().min(1).default('sensors/{device}/sample'),
  payload: z.enum(['json', 'plain']).default('json'),
  ring_samples: z.int().min(1).max(RING_SAMPLES_MAX).default(RING_SAMPLES_DEFAULT),
})

const device = z
  .strictObject({
    name: z.string().refine(isName, `must be ${NAME_RULE}`),
    class: z.enum(Object.keys(DEVICE_CLASSES) as [DeviceClassName, ...DeviceClassName[]]),
    interval: durationMs().default(100),
    /** `none`: the device has no clock, and samples carry no time. */
    clock: z.enum(['own', 'none']).default('own'),
    /** By how much its clock is behind: its samples carry event times that are so much too early. */
    clock_behind: durationMs().default(0),
    serial: serialLink.optional(),
    mqtt: mqttLink.optional(),
  })
  .refine((d) => (d.serial === undefined) !== (d.mqtt === undefined), 'give either "serial" or "mqtt"')

const when = { device: z.string(), at: durationMs(), for: durationMs().optional(), every: durationMs().optional() }

const anomaly = z.discriminatedUnion('kind', [
  z.strictObject({ ...when, kind: z.literal('spike'), field: z.string(), by: z.number() }),
  z.strictObject({ ...when, for: durationMs(), kind: z.literal('level_shift'), field: z.string(), by: z.number() }),
  z.strictObject({ ...when, for: durationMs(), kind: z.literal('drift'), field: z.string(), by: z.number() }),
  z.strictObject({ ...when, for: durationMs(), kind: z.literal('stuck'), field: z.string() }),
  /** Noise is added, `by` its standard deviation. */
  z.strictObject({ ...when, for: durationMs(), kind: z.literal('variance'), field: z.string(), by: z.number() }),
  /** One spike each `spacing` while it lasts; each is labelled. */
  z.strictObject({
    ...when,
    for: durationMs(),
    kind: z.literal('recurring_spikes'),
    field: z.string(),
    by: z.number(),
    spacing: durationMs(),
  }),
  /** Nothing is measured: sequences go on afterwards without a hole. */
  z.strictObject({ device: z.string(), at: durationMs(), for: durationMs(), kind: z.literal('missing') }),
])

const badValue = z.strictObject({
  ...when,
  kind: z.enum(['wrong_type', 'out_of_range', 'not_in_list', 'unknown_field']),
  /** Part of the samples that is hit while it lasts; absent: all. */
  share: z.number().gt(0).max(1).optional(),
  field: z.string().regex(/^[a-z][a-z0-9_]*$/, 'must be a field name'),
})

/** What a run must show; whoever runs the pipeline around the simulator (`npm start`) compares. */
const expectation = z.strictObject({
  /** Share of the labelled anomalies that detectors speak of, at least; each kind counts the same. */
  recall: z.number().min(0).max(1),
  /** At most, a device and day at one sample a second. */
  false_alarms: z.number().min(0),
})

const share = z.number().gt(0).max(1).default(0.2)
const fault = z.discriminatedUnion('kind', [
  z.strictObject({ ...when, for: durationMs(), kind: z.literal('noise'), share }),
  z.strictObject({ ...when, for: durationMs(), kind: z.literal('truncate'), share }),
  z.strictObject({ ...when, for: durationMs(), kind: z.literal('wrong_checksum'), share }),
  z.strictObject({ ...when, for: durationMs(), kind: z.literal('garbage'), share }),
  z.strictObject({ ...when, for: durationMs(), kind: z.literal('dropout'), measuring: z.boolean().default(true) }),
  z.strictObject({ ...when, for: durationMs(), kind: z.literal('unplug') }),
  /** Whenever the port is opened the device is gone again within milliseconds, and back on a new terminal. */
  z.strictObject({ ...when, for: durationMs(), kind: z.literal('vanish') }),
  /** Everything is sent twice. */
  z.strictObject({ ...when, for: durationMs(), kind: z.literal('duplicate') }),
  /** Two devices are unplugged, and each is plugged in where the other one was; afterwards back again. */
  z.strictObject({ ...when, for: durationMs(), kind: z.literal('swap'), with: z.string() }),
])

/** An agent is offline: its link to the gateway is cut. Brought about by whoever runs agents around the simulator. */
const outage = z.strictObject({
  agent: z.string().refine(isName, `must be ${NAME_RULE}`),
  at: durationMs(),
  for: durationMs(),
})

/** Two devices that are swapped are both unplugged for so long, before and after. */
export const SWAP_UNPLUGGED_MS = 500

/** What is wrong with a fault for these devices, as [setting, message]. */
export function mistakesInFault(fault: FaultConfig, devices: ReadonlyMap<string, DeviceConfig>): [string, string][] {
  const device = devices.get(fault.device)
  if (!device) return [['device', 'there is no such device in this scenario']]
  const { serial } = device
  switch (fault.kind) {
    case 'noise':
    case 'truncate':
    case 'wrong_checksum':
      if (!serial) return [['kind', 'needs a serial device']]
      if (serial.framing !== 'cobs' && !serial.checksum)
        return [['kind', 'needs a line with a checksum: nobody could tell the damage otherwise']]
      return []
    case 'garbage':
    case 'vanish':
      return serial ? [] : [['kind', 'needs a serial device']]
    case 'dropout':
      if (!fault.measuring && fault.every !== undefined)
        return [['every', 'a dropout without measuring cannot repeat; write it out']]
      return []
    case 'swap': {
      const other = devices.get(fault.with)
      if (!other) return [['with', 'there is no such device in this scenario']]
      if (other === device) return [['with', 'must be another device']]
      if (!serial || !other.serial) return [['with', 'both must be serial devices']]
      const mistakes: [string, string][] = []
      if (!serial.announce || !other.serial.announce)
        mistakes.push(['with', 'both need "announce: true": nobody could tell otherwise who speaks'])
      const isSameLine = serial.framing === other.serial.framing && serial.checksum === other.serial.checksum
      if (!isSameLine && !(serial.acknowledge && other.serial.acknowledge))
        mistakes.push(['with', 'two framings can only be swapped when both devices wait for an acknowledgement'])
      if (fault.for <= SWAP_UNPLUGGED_MS) mistakes.push(['for', `must be longer than ${SWAP_UNPLUGGED_MS}ms`])
      if (fault.every !== undefined && fault.every <= fault.for + SWAP_UNPLUGGED_MS)
        mistakes.push(['every', `must be more than ${SWAP_UNPLUGGED_MS}ms longer than "for"`])
      return mistakes
    }
    case 'unplug':
    case 'duplicate':
      return []
  }
}

export const scenarioSchema = z
  .strictObject({
    name: z.string().min(1),
    description: z.string().default(''),
    seed: z.int().nonnegative().default(1),
    devices: z.array(device).min(1).max(DEVICES_MAX),
    anomalies: z.array(anomaly).default([]),
    bad_values: z.array(badValue).default([]),
    faults: z.array(fault).default([]),
    outages: z.array(outage).default([]),
    expect: expectation.optional(),
  })
  .superRefine((scenario, context) => {
    const complain = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message })
    const devices = new Map(scenario.devices.map((d) => [d.name, d]))
    const firstAt = new Map<string, number>()
    scenario.devices.forEach((d, i) => {
      const earlier = firstAt.get(d.name)
      if (earlier !== undefined) complain(['devices', i, 'name'], `is the name of devices[${earlier}] already`)
      else firstAt.set(d.name, i)
      if (d.interval < 1) complain(['devices', i, 'interval'], 'must be at least 1ms: times must stay unique')
      if (d.serial?.acknowledge && d.clock === 'none')
        complain(['devices', i, 'clock'], 'a device that sends again needs its own clock, or its repeats get new times')
      if (d.clock_behind > 0 && d.clock === 'none') complain(['devices', i, 'clock_behind'], 'needs a clock of its own')
    })
    scenario.bad_values.forEach((bad, i) => {
      if (bad.share !== undefined && bad.for === undefined)
        complain(['bad_values', i, 'share'], 'needs "for": without it one sample is hit')
    })
    scenario.anomalies.forEach((one, i) => {
      if (one.kind === 'recurring_spikes' && one.spacing === 0)
        complain(['anomalies', i, 'spacing'], 'must be longer than nothing')
    })
    scenario.outages.forEach((one, i) => {
      const overlaps = (other: OutageConfig) => one.at < other.at + other.for && other.at < one.at + one.for
      const earlier = scenario.outages.findIndex((other) => other.agent === one.agent && overlaps(other))
      if (earlier >= 0 && earlier < i) complain(['outages', i, 'at'], `overlaps with outages[${earlier}]`)
    })
    const check = (section: 'anomalies' | 'bad_values' | 'faults') =>
      scenario[section].forEach((entry, i) => {
        const found = devices.get(entry.device)
        if (!found && section !== 'faults') complain([section, i, 'device'], 'there is no such device in this scenario')
        if ('every' in entry && entry.every !== undefined && entry.every <= (entry.for ?? 0))
          complain([section, i, 'every'], 'must be longer than "for"')
        if (!found) return
        const { fields }: DeviceClass = DEVICE_CLASSES[found.class]
        const field = 'field' in entry ? fields.find((f) => f.name === entry.field) : undefined
        const names = fields.map((f) => f.name).join(', ')
        if ('field' in entry && entry.kind !== 'unknown_field') {
          if (!field) complain([section, i, 'field'], `a ${found.class} has no such field, only ${names}`)
          if (field?.name === 'sequence')
            complain([section, i, 'field'], 'the sequence is what everything is checked by')
        }
        switch (entry.kind) {
          case 'spike':
          case 'level_shift':
          case 'drift':
          case 'variance':
          case 'recurring_spikes':
          case 'out_of_range':
            if (field && field.type !== 'float' && field.type !== 'integer')
              complain([section, i, 'field'], 'must be a number')
            break
          case 'not_in_list':
            if (field && field.type !== 'string')
              complain([section, i, 'field'], 'must be a string with a list of values')
            break
          case 'unknown_field':
            if (field) complain([section, i, 'field'], `is a field of a ${found.class}; choose a name that is none`)
            if (found.serial?.framing === 'csv')
              complain([section, i, 'kind'], 'a CSV line cannot have a field beside its columns')
            if (found.mqtt?.payload === 'plain') complain([section, i, 'kind'], 'needs samples in JSON or COBS')
            break
        }
      })
    check('anomalies')
    check('bad_values')
    check('faults')
    scenario.faults.forEach((fault, i) => {
      for (const [setting, message] of mistakesInFault(fault, devices)) complain(['faults', i, setting], message)
    })
  })

export type Scenario = z.infer<typeof scenarioSchema>
export type DeviceConfig = z.infer<typeof device>
export type AnomalyConfig = Scenario['anomalies'][number]
export type BadValueConfig = Scenario['bad_values'][number]
export type FaultConfig = z.infer<typeof fault>
export type OutageConfig = z.infer<typeof outage>
export type Expectation = z.infer<typeof expectation>

/** Ours, beside the sources; beside the program when it is bundled. */
const OUR_SCENARIOS = ['../scenarios/', './scenarios/']

/** Loads a scenario from a path, or one of ours by its bare name (`demo`, `anomalies`, `late`, `steady`, `mqtt-only`). Throws ConfigError. */
export async function loadScenario(pathOrName: string): Promise<Scenario> {
  if (!/^[a-z][a-z0-9-]*$/.test(pathOrName)) return loadConfig(pathOrName, scenarioSchema)
  const ours = OUR_SCENARIOS.map((folder) => fileURLToPath(new URL(`${folder}${pathOrName}.yaml`, import.meta.url)))
  return loadConfig(ours.find((file) => existsSync(file)) ?? (ours[0] as string), scenarioSchema)
}

export const kindOf = (config: DeviceConfig): string => DEVICE_CLASSES[config.class].kind

/** Readings a second that the scenario makes as written. */
export const readingsPerSecond = (scenario: Scenario): number =>
  scenario.devices.reduce((sum, d) => sum + (DEVICE_CLASSES[d.class].fields.length * 1000) / d.interval, 0)

/** What the columns of a CSV device are, for the agent's config. */
export const csvColumns = (config: DeviceConfig): string[] => {
  const [sequence, ...rest] = DEVICE_CLASSES[config.class].fields.map((f) => f.name)
  const identity = config.serial?.announce ? ['device', 'kind'] : []
  return [...identity, sequence as string, ...(config.clock === 'own' ? ['time_ms'] : []), ...rest]
}
