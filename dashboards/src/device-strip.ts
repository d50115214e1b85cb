/** How one device is, at a glance: is it heard, what is open, can its times be trusted, where is each field beside its limits. */
import { PanelBuilder as BarGaugePanel } from '@grafana/grafana-foundation-sdk/bargauge'
import {
  BarGaugeDisplayMode,
  BarGaugeValueMode,
  ReduceDataOptionsBuilder,
  VizOrientation,
} from '@grafana/grafana-foundation-sdk/common'
import {
  FieldColorBuilder,
  FieldColorModeId,
  MappingType,
  SpecialValueMatch,
  type ValueMapping,
} from '@grafana/grafana-foundation-sdk/dashboard'
import type { Contract, ContractField } from '@tributary/protocol'
import { AGAINST_CONTRACT, alertsOf, LATE } from './events.ts'
import {
  CRITICAL,
  GOOD,
  gaugeRange,
  limitsText,
  QUIET,
  shownFields,
  thresholdSteps,
  titleOf,
  unitId,
  WARNING,
} from './field-style.ts'
import { influxQuery } from './influx-query.ts'
import { identifier, literal, SITE_AND_DEVICE } from './influxql.ts'
import { type PanelPlace, place, stat } from './panels.ts'

/** How far back the newest value is looked for. */
const NEWEST = '24h'
const LIVE_INTERVALS = 3
const LIVE_MS_MIN = 15_000

/** For how long a device may say nothing and is still called live. */
const liveMs = ({ detectors: { silence }, interval }: Contract): number =>
  silence ?? Math.max(LIVE_INTERVALS * interval, LIVE_MS_MIN)

/** 1 when a sample came shortly before the end of the time range, of whichever field; nothing when none did. */
function heardQuery(contract: Contract): string {
  const required = Object.entries(contract.fields).filter(([, field]) => field.required)
  const names = (required.length > 0 ? required.slice(0, 1) : Object.entries(contract.fields)).map(([name]) => name)
  const counts = names.map(
    (name) =>
      `(SELECT count(${identifier(name)}) AS "n" FROM ${identifier(contract.kind)} WHERE time > \${__to}ms - ${liveMs(contract)}ms AND time <= \${__to}ms AND ${SITE_AND_DEVICE})`,
  )
  return `SELECT sum("n") / sum("n") AS "value" FROM ${counts.join(', ')}`
}

const HEARD: ValueMapping[] = [
  { type: MappingType.ValueToText, options: { 1: { text: 'live', color: GOOD, index: 0 } } },
  {
    type: MappingType.SpecialValue,
    options: { match: SpecialValueMatch.Null, result: { text: 'silent', color: CRITICAL, index: 1 } },
  },
]

const openAlertsQuery = (kind: string): string =>
  `SELECT count("state") AS "value" FROM (SELECT last("state") AS "state" FROM "alert" WHERE ${SITE_AND_DEVICE} AND ${alertsOf(kind)} ` +
  `GROUP BY "site", "device", "rule", "field", "detector") WHERE "state" =~ /^(firing|acknowledged|escalated)$/`

const anomaliesQuery = (kind: string): string =>
  `SELECT count("score") AS "value" FROM "anomaly" WHERE $timeFilter AND ${SITE_AND_DEVICE} AND "kind" = ${literal(kind)}`

const samplesQuery = (kind: string, of: string): string =>
  `SELECT sum("samples") AS "value" FROM "data_quality" WHERE $timeFilter AND ${SITE_AND_DEVICE} AND "kind" = ${literal(kind)} AND ${of}`

/** Six stats in a line. @param id of the first; the others follow */
export function deviceStats(contract: Contract, id: number) {
  const { kind } = contract
  const from1 = (color: string) => [
    { value: null, color: GOOD },
    { value: 1, color },
  ]
  const tile = (i: number, title: string, description: string) => ({
    id: id + i,
    title,
    description,
    span: 4,
    height: 3,
  })
  const seconds = liveMs(contract) / 1_000
  const heard = tile(
    0,
    'Heard',
    `Live: a sample came within the last ${seconds} s of the time range. Silent: none did.`,
  )
  const count = (at: PanelPlace, query: string, colour: string, unit = 'short') =>
    stat(at, { query, unit, decimals: 0, steps: from1(colour), noValue: '0' })
  return [
    stat(heard, {
      query: heardQuery(contract),
      unit: 'none',
      steps: [
        { value: null, color: CRITICAL },
        { value: 1, color: GOOD },
      ],
      noValue: 'silent',
    }).mappings(HEARD),
    count(
      tile(1, 'Open alerts', 'Episodes that people were told of and that are not resolved, whenever they began.'),
      openAlertsQuery(kind),
      CRITICAL,
    ),
    count(tile(2, 'Anomalies seen', 'What detectors noticed in this time range.'), anomaliesQuery(kind), WARNING),
    stat(
      tile(
        3,
        'Times',
        'Samples of this time range whose time is estimated, or that nobody vouches for. Trusted: there is none.',
      ),
      {
        query: samplesQuery(kind, '"issue" =~ /^time_(estimated|untrusted)$/'),
        unit: 'suffix: not sure',
        decimals: 0,
        steps: from1(WARNING),
        noValue: 'trusted',
      },
    ),
    count(
      tile(
        4,
        'Late or corrected',
        'Samples of this time range that came after their window was closed, or whose time was corrected. They are stored, and their windows revised.',
      ),
      samplesQuery(kind, `(${LATE} OR "issue" = 'time_corrected')`),
      QUIET,
    ),
    count(
      tile(
        5,
        'Against the contract',
        'Samples of this time range that broke a rule of the contract: refused, or stored and marked.',
      ),
      samplesQuery(kind, `(${AGAINST_CONTRACT})`),
      WARNING,
    ),
  ]
}

export const hasLimit = (contract: Contract, name: string): boolean => {
  const field = contract.fields[name] as ContractField
  return (field.type === 'float' || field.type === 'integer') && contract.thresholds.some((t) => t.field === name)
}

/** The newest value of each number with limits, as a bar on a scale in the colours of the limits, which its name says in words. */
export function limitGauge(at: PanelPlace, contract: Contract): BarGaugePanel {
  const fields = shownFields(contract).filter(([name]) => hasLimit(contract, name))
  const nameOf = (name: string) => `${titleOf(contract, name)} (${limitsText(contract, name)})`
  const selected = fields.map(([name]) => `last(${identifier(name)}) AS ${identifier(nameOf(name))}`)
  const panel = place(new BarGaugePanel(), at)
    .targets([
      influxQuery(
        'A',
        `SELECT ${selected.join(', ')} FROM ${identifier(contract.kind)} WHERE $timeFilter AND ${SITE_AND_DEVICE}`,
        { alias: '$col' },
      ),
    ])
    .timeFrom(NEWEST)
    .hideTimeOverride(true)
    .noValue('–')
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .displayMode(BarGaugeDisplayMode.Lcd)
    .valueMode(BarGaugeValueMode.Color)
    .orientation(VizOrientation.Horizontal)
    .showUnfilled(true)
    .reduceOptions(new ReduceDataOptionsBuilder().values(false).calcs(['lastNotNull']).fields(''))
  for (const [name, field] of fields) {
    if (field.type !== 'float' && field.type !== 'integer') continue
    const [min, max] = gaugeRange(contract, name)
    panel.overrideByName(nameOf(name), [
      { id: 'unit', value: unitId(field.unit) },
      { id: 'decimals', value: field.decimals },
      { id: 'min', value: min },
      { id: 'max', value: max },
      { id: 'thresholds', value: { mode: 'absolute', steps: thresholdSteps(contract, name, GOOD) } },
    ])
  }
  return panel
}
