/** One dashboard a kind, from its contract: the newest values, a panel a field, what was found suspicious. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { type Contract, type ContractField, fieldsNamedBy, kindUid, outlierSizeOf } from '@tributary/protocol'
import { aggregateVariable, dashboardFrame, deviceVariable, finished, siteVariable } from './dashboard-frame.ts'
import { alertAnnotations, alertsTable, anomaliesTable, anomalyAnnotation } from './events.ts'
import { kindTitle, shownFields, stateMappings, thresholdSteps, titleOf, unitId } from './field-style.ts'
import { influxQuery } from './influx-query.ts'
import { fieldQueries, identifier, lastQuery, rateQuery, rawMeanQuery, SITE_AND_DEVICE } from './influxql.ts'
import { type Column, link, type PanelPlace, stateTimeline, table, timeSeries } from './panels.ts'

/** Kinds that our own processes speak of themselves in: the device is the process. */
export const isHealth = (kind: string): boolean => kind.endsWith('_health') || kind === 'host'

const HEALTH_COLUMNS_MAX = 8

const intervalText = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`)

export function kindDashboard(contract: Contract): Dashboard {
  const { kind } = contract
  const health = isHealth(kind)
  const title = kindTitle(kind)
  const dashboard = dashboardFrame({
    uid: kindUid(kind),
    title,
    description: contract.description,
    tag: health ? 'health' : 'devices',
  })
    .withVariable(siteVariable(kind))
    .withVariable(deviceVariable(kind, health ? 'Process' : 'Device'))
  for (const one of alertAnnotations(kind)) dashboard.annotation(one)
  if (!health) dashboard.withVariable(aggregateVariable())
  const fields = shownFields(contract)
  // The table would not fit otherwise, and the panels below show the rest.
  const tabled = health
    ? fields.filter(([name, field]) => isTelling(contract, name, field)).slice(0, HEALTH_COLUMNS_MAX)
    : fields
  dashboard.withPanel(
    newestTable(
      { id: 1, title: 'Now', description: contract.description, span: 24, height: 4 },
      contract,
      tabled.map(([name]) => name),
      {},
    ),
  )
  const drawn = fields.filter(([, field]) => field.type !== 'string' || field.values !== undefined)
  const columns = health ? 3 : 2
  drawn.forEach(([name, field], i) => {
    const id = 10 + i
    // The last line is filled up, however many fields are left for it.
    const inLastLine = drawn.length % columns
    const isLast = inLastLine > 0 && i >= drawn.length - inLastLine
    const span = 24 / (isLast ? inLastLine : columns)
    const at = { id, title: titleOf(contract, name), span, height: health ? 6 : 8 }
    dashboard.withPanel(fieldPanel(at, contract, name, field))
    if (
      outlierSizeOf(contract, name) !== undefined ||
      contract.thresholds.some((t) => t.field === name) ||
      name in contract.detectors.flatline ||
      fieldsNamedBy(contract.detectors).some(([, field]) => field === name)
    )
      dashboard.annotation(anomalyAnnotation(kind, name, at.title, id))
  })
  if (contract.detectors.silence !== undefined || contract.detectors.together !== undefined)
    dashboard.annotation(anomalyAnnotation(kind, '', health ? 'the process' : 'the device'))
  dashboard
    .withPanel(alertsTable({ id: 3, title: 'Alerts', span: 24, height: 6 }, kind))
    .withPanel(anomaliesTable({ id: 2, title: 'Anomalies', span: 24, height: 6 }, kind))
  return finished(dashboard)
}

/** Worth a column in a wide table: states, shares, and what has a limit. */
const isTelling = (contract: Contract, name: string, field: ContractField): boolean =>
  field.type === 'boolean' ||
  ('unit' in field && field.unit === '%') ||
  contract.thresholds.some((t) => t.field === name)

function fieldPanel(at: PanelPlace, contract: Contract, name: string, field: ContractField) {
  const { kind } = contract
  const interval = intervalText(contract.interval)
  if (field.type === 'boolean' || field.type === 'string')
    return stateTimeline(at, { query: lastQuery(kind, name), interval, mappings: stateMappings(contract, name) })
  const shared = { interval, holeMsMin: contract.interval * 5 }
  const alias = '$tag_device'
  if (field.type === 'integer' && field.role === 'counter' && isHealth(kind))
    return timeSeries(
      { ...at, description: 'Growth a second.' },
      {
        ...shared,
        targets: [influxQuery('A', rateQuery(kind, name), { alias })],
        unit: field.unit === 'B' ? 'Bps' : 'suffix: /s',
        decimals: 1,
        softMin: 0,
      },
    )
  const isPercentage = field.unit === '%' && field.range?.[0] === 0 && field.range[1] === 100
  const queries = isHealth(kind) ? [rawMeanQuery(kind, name)] : fieldQueries(kind, name)
  return timeSeries(at, {
    ...shared,
    targets: queries.map((query, i) => influxQuery('ABCDE'[i] as string, query, { alias })),
    unit: unitId(field.unit),
    decimals: field.decimals,
    bands: thresholdSteps(contract, name, 'transparent'),
    ...(isPercentage ? { softMin: 0, softMax: 100 } : {}),
  })
}

/** Newest sample of each device and when it came, whatever range the dashboard shows. */
export function newestTable(
  at: PanelPlace,
  contract: Contract,
  names: readonly string[],
  { linkTo, siteOnly = false }: { linkTo?: string; siteOnly?: boolean },
) {
  const selected = names.map((name) => `${identifier(name)} AS ${identifier(titleOf(contract, name))}`)
  const where = siteOnly ? `"site" =~ /^$site$/` : SITE_AND_DEVICE
  const columns: Column[] = [
    {
      name: 'device',
      title: 'Device',
      ...(linkTo ? { properties: [link(`Open ${kindTitle(contract.kind)}`, linkTo)] } : {}),
    },
    { name: 'site', title: 'Site' },
    { name: 'Time', title: 'Last seen', unit: 'dateTimeFromNow' },
    ...names.map((name): Column => {
      const field = contract.fields[name] as ContractField
      const column = { name: titleOf(contract, name) }
      if (field.type === 'boolean' || field.type === 'string') {
        const mappings = stateMappings(contract, name)
        return mappings.length > 0
          ? {
              ...column,
              properties: [
                { id: 'custom.displayMode', value: 'color-text' },
                { id: 'mappings', value: mappings },
              ],
            }
          : column
      }
      const steps = thresholdSteps(contract, name, 'text')
      return { ...column, unit: unitId(field.unit), decimals: field.decimals, steps }
    }),
  ]
  return table(at, {
    query: `SELECT ${selected.join(', ')} FROM ${identifier(contract.kind)} WHERE $timeFilter AND ${where} GROUP BY "site", "device" ORDER BY time DESC LIMIT 1`,
    columns,
    timeFrom: '24h',
  })
}
