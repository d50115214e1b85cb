/** Each rule against a real influxd: with data that must fire it, and with data that must not. */
import { systemClock } from '@tributary/runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { pipelineRules } from './alert-rules.ts'
import { alertingFile, type RuleShape } from './grafana-file-shapes.ts'
import { provisioningFiles } from './provisioning.ts'
import { fillQuery } from './rendering/macros.ts'
import { evaluate, type Verdict } from './rule-evaluation.ts'
import { type EmptyInflux, exampleContracts, startEmptyInflux } from './testing.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

let influx: EmptyInflux
let rules: Map<string, RuleShape>
let databases = 0
beforeAll(async () => {
  influx = await startEmptyInflux()
  const text = provisioningFiles(await exampleContracts()).get('alerting/rules.yaml') as string
  const { groups = [] } = alertingFile.parse(parse(text))
  rules = new Map(groups.flatMap((group) => group.rules.map((rule) => [rule.uid, rule])))
})
afterAll(() => influx?.stop())

/** Verdict of a rule on a database that holds these lines; their times are ages. */
async function verdictOn(uid: string, lines: readonly [text: string, ageMs: number][]): Promise<Verdict> {
  const database = `rule_${databases++}`
  await influx.query(`CREATE DATABASE ${database}`)
  const nowMs = systemClock.wallMs()
  await influx.write(
    database,
    lines.map(([text, ageMs]) => `${text} ${nowMs - ageMs}`),
  )
  return evaluate(rules.get(uid) as RuleShape, (query, rangeSeconds) => {
    const range = { fromMs: nowMs - rangeSeconds * SECOND, toMs: nowMs }
    return influx.query(fillQuery(query, { range, intervalMs: 10_000, variables: [] }), database)
  })
}

/** A line every so often between two ages. */
const every = (
  stepMs: number,
  [fromMs, toMs]: readonly [number, number],
  text: (ageMs: number) => string,
): [string, number][] =>
  Array.from({ length: Math.floor((fromMs - toMs) / stepMs) + 1 }, (_, i) => [
    text(fromMs - i * stepMs),
    fromMs - i * stepMs,
  ])

const health = (kind: string, device: string, fields: string, range: readonly [number, number] = [20 * MINUTE, 0]) =>
  every(
    10 * SECOND,
    range,
    (ageMs) => `${kind},site=plant,device=${device} uptime_s=${1_000_000 - Math.round(ageMs / SECOND)}i,${fields}`,
  )
const agent = (fields: string, range?: readonly [number, number]) => health('agent_health', 'pi-1', fields, range)
const gateway = (fields: string, range?: readonly [number, number]) => health('gateway_health', 'gw-1', fields, range)
const processor = (fields: string, range?: readonly [number, number]) =>
  health('processor_health', 'p-1', fields, range)
const well = 'connected=true'
const speaks = processor(well)
const account = (fields: (ageMs: number) => string, range: readonly [number, number] = [20 * MINUTE, 0]) =>
  every(5 * SECOND, range, (ageMs) => `account,site=plant,device=pi-1 ${fields(ageMs)}`)
const shedLines = (reason: string) =>
  every(
    5 * SECOND,
    [10 * MINUTE, 0],
    (ageMs) => `shed,site=plant,device=pi-1,reason=${reason} readings=${600 - ageMs / SECOND}i,batches=1i`,
  )
const letters = (stage: string, reason: string, count: number, ageMs = 3 * HOUR): [string, number] => [
  `dead_letter,site=plant,device=pi-1,stage=${stage},reason=${reason} letters=${count}i,readings=${count}i`,
  ageMs,
]
/** High for a minute, as high as it needs, and well otherwise. */
const briefly = (of: typeof agent, high: string, low: string) => [
  ...of(low, [20 * MINUTE, 70 * SECOND]),
  ...of(high, [60 * SECOND, 0]),
]

type Lines = readonly [string, number][]
const CASES: Readonly<Record<string, { fires: Lines; who?: string; quiet: Readonly<Record<string, Lines>> }>> = {
  'tributary-agent-silent': {
    fires: [...speaks, ...agent(well, [HOUR, 6 * MINUTE]), ...health('agent_health', 'pi-2', well)],
    who: 'pi-1 plant',
    quiet: {
      'it speaks': [...speaks, ...agent(well)],
      'no processor speaks: nobody knows': [
        ...processor(well, [HOUR, 10 * MINUTE]),
        ...agent(well, [HOUR, 10 * MINUTE]),
      ],
      'there is no processor': agent(well, [HOUR, 10 * MINUTE]),
      'it was given up a week ago': [...speaks, ...agent(well, [200 * HOUR, 199 * HOUR])],
      'there is none': speaks,
    },
  },
  'tributary-gateway-silent': {
    fires: [...speaks, ...gateway(well, [HOUR, 6 * MINUTE])],
    who: 'gw-1 plant',
    quiet: {
      'it speaks': [...speaks, ...gateway(well)],
      'its agents are silent': [...speaks, ...gateway(well), ...agent(well, [HOUR, 9 * MINUTE])],
    },
  },
  'tributary-processor-silent': {
    fires: processor(well, [HOUR, 6 * MINUTE]),
    who: 'p-1 plant',
    quiet: {
      'it speaks': speaks,
      'another one was taken out of use': [
        ...speaks,
        ...health('processor_health', 'p-2', well, [50 * HOUR, 49 * HOUR]),
      ],
    },
  },
  'tributary-agent-backlog': {
    fires: agent('drain_seconds=4000'),
    who: 'pi-1 plant',
    quiet: {
      'it drains': agent('drain_seconds=100'),
      'it was long, and is short now': [
        ...agent('drain_seconds=9000', [20 * MINUTE, 5 * MINUTE]),
        ...agent('drain_seconds=20', [4 * MINUTE, 0]),
      ],
    },
  },
  'tributary-gateway-backlog': {
    fires: gateway('drain_seconds=901'),
    who: 'gw-1 plant',
    quiet: { 'it drains': gateway('drain_seconds=899'), 'an agent has one': agent('drain_seconds=4000') },
  },
  'tributary-agent-spool-80': {
    fires: agent('spool_used_percent=81'),
    who: 'pi-1 plant',
    quiet: { 'there is room': agent('spool_used_percent=80') },
  },
  'tributary-agent-spool-95': {
    fires: agent('spool_used_percent=96'),
    who: 'pi-1 plant',
    quiet: { 'there is room': agent('spool_used_percent=94') },
  },
  'tributary-gateway-spool-80': {
    fires: gateway('spool_used_percent=81'),
    who: 'gw-1 plant',
    quiet: { 'there is room': gateway('spool_used_percent=79') },
  },
  'tributary-gateway-spool-95': {
    fires: gateway('spool_used_percent=99'),
    who: 'gw-1 plant',
    quiet: { 'there is room': gateway('spool_used_percent=94') },
  },
  'tributary-inputs-down': {
    fires: agent('inputs_down=2i'),
    who: 'pi-1 plant',
    quiet: {
      'all are up': agent('inputs_down=0i'),
      'one was plugged in again': briefly(agent, 'inputs_down=1i', 'inputs_down=0i'),
    },
  },
  'tributary-clock-off': {
    fires: agent('clock_offset_ms=-5400'),
    who: 'pi-1 plant',
    quiet: {
      'it is right': agent('clock_offset_ms=12'),
      'a single measurement was off': briefly(agent, 'clock_offset_ms=90000', 'clock_offset_ms=3'),
    },
  },
  'tributary-clock-not-trusted': {
    fires: agent('clock_trusted=false'),
    who: 'pi-1 plant',
    quiet: {
      'it is trusted': agent('clock_trusted=true'),
      'it has just started': briefly(agent, 'clock_trusted=false', 'clock_trusted=true'),
    },
  },
  'tributary-processor-behind': {
    fires: processor('lag_batches=2000i'),
    who: 'p-1 plant',
    quiet: {
      'it keeps up': processor('lag_batches=12i'),
      'it catches up': briefly(processor, 'lag_batches=900i', 'lag_batches=5000i'),
    },
  },
  'tributary-influxdb-slow': {
    fires: processor('influx_write_ms=7000'),
    who: 'p-1 plant',
    quiet: {
      'it is quick': processor('influx_write_ms=25'),
      'a compaction took a minute': briefly(processor, 'influx_write_ms=20000', 'influx_write_ms=25'),
    },
  },
  'tributary-receivers-failing': {
    fires: processor('receivers_failing=1i'),
    who: 'p-1 plant',
    quiet: { 'all take theirs': processor('receivers_failing=0i') },
  },
  'tributary-readings-missing': {
    fires: account(() => 'missing=7i', [40 * HOUR, 39 * HOUR]),
    who: 'pi-1 plant',
    quiet: {
      'none is': account(() => 'missing=0i'),
      'they came after all': [...account(() => 'missing=7i', [2 * HOUR, HOUR]), ...account(() => 'missing=0i')],
    },
  },
  'tributary-dead-letters': {
    fires: account((ageMs) => `dead_lettered=${100_000 - Math.round(ageMs / SECOND)}i`),
    who: 'pi-1 plant',
    quiet: {
      'a burst of noise': account(
        (ageMs) => `dead_lettered=${ageMs > 9 * MINUTE ? 5 : ageMs > 6 * MINUTE ? 500 : 5000}i`,
      ),
      'they are requeued': account((ageMs) => `dead_lettered=${Math.round(ageMs / SECOND)}i`),
    },
  },
  'tributary-lines-refused': {
    fires: [letters('store', 'field_type_conflict', 3)],
    who: 'pi-1 field_type_conflict plant',
    quiet: {
      'they were requeued': [letters('store', 'refused', 3), letters('store', 'refused', 0, HOUR)],
      'they were dropped': [letters('store', 'dropped', 3)],
      'a contract refused them': [letters('contract', 'out_of_range', 3)],
    },
  },
  'tributary-shed': {
    fires: shedLines('rolled_up_10s'),
    who: 'pi-1 rolled_up_10s plant',
    quiet: {
      'of old': shedLines('rolled_up_10s').map(([text, ageMs]) => [text, ageMs + HOUR] as [string, number]),
      'fields that a contract drops': shedLines('sensitive'),
    },
  },
}

it('every rule has its cases', () => {
  expect(Object.keys(CASES).sort()).toEqual(pipelineRules.map((rule) => rule.uid).sort())
})

describe.each(Object.entries(CASES))('%s', (uid, { fires, who, quiet }) => {
  it('fires for the one that it is about', async () => {
    expect(await verdictOn(uid, fires)).toEqual({ state: 'firing', firing: [who] })
  })

  it.each(Object.entries(quiet))('not when %s', async (_, lines) => {
    expect(await verdictOn(uid, lines)).toEqual({ state: 'normal', firing: [] })
  })
})

it('nothing in the store at all: the processor is missed, and nobody else', async () => {
  const firing: string[] = []
  for (const uid of rules.keys()) if ((await verdictOn(uid, [])).state === 'firing') firing.push(uid)
  expect(firing).toEqual(['tributary-processor-silent'])
})
