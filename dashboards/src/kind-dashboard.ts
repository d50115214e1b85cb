/** The dashboard of one device, a kind: how it is, each field over time, what was found suspicious. All from the kind's contract. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { type Contract, type ContractField, fieldsNamedBy, kindUid, outlierSizeOf } from '@tributary/protocol'
import { comparedFields, compareUid } from './compare-dashboard.ts'
import { dashboardFrame, finished, linkTo, oneDeviceVariable, oneSiteVariable } from './dashboard-frame.ts'
import { deviceStats, hasLimit, limitGauge } from './device-strip.ts'
import { alertAnnotations, alertsTable, anomaliesTable, anomalyAnnotation, qualityAnnotations } from './events.ts'
import { fieldPanel, isState, qualityPanel } from './field-panel.ts'
import { kindTitle, shownFields, titleOf } from './field-style.ts'
import { isHealth, newestTable } from './newest-table.ts'

const HEALTH_COLUMNS_MAX = 8
const STATE_HEIGHT = 4
type Field = [name: string, field: ContractField]

export function kindDashboard(contract: Contract): Dashboard {
  const { kind } = contract
  const health = isHealth(kind)
  const dashboard = dashboardFrame({
    uid: kindUid(kind),
    title: kindTitle(kind),
    description: contract.description,
    tag: health ? 'health' : 'devices',
  })
    .withVariable(oneSiteVariable(kind))
    .withVariable(oneDeviceVariable(kind, health ? 'Process' : 'Device'))
  if (comparedFields(contract).length > 0) dashboard.link(linkTo('Compare', `/d/${compareUid(kind)}`))
  for (const one of alertAnnotations(kind)) dashboard.annotation(one)
  for (const panel of deviceStats(contract, 1)) dashboard.withPanel(panel)

  const fields = shownFields(contract)
  const limited = fields.filter(([name]) => hasLimit(contract, name))
  const height = Math.max(3, Math.ceil(1 + limited.length * 1.3))
  // Names with limits in words are long.
  const span = limited.length > 0 ? 14 : 0
  if (limited.length > 0) {
    const description = 'The newest value of each field that has limits, on a scale in the colours of its limits.'
    dashboard.withPanel(limitGauge({ id: 7, title: 'Beside the limits', description, span, height }, contract))
  }
  // The table would not fit otherwise, and the panels below show the rest.
  const rest = fields.filter(([name]) => !hasLimit(contract, name))
  const tabled = health ? rest.filter(([, field]) => isTelling(field)).slice(0, HEALTH_COLUMNS_MAX) : rest
  const names = tabled.map(([name]) => name)
  const now = { id: 8, title: 'Now', description: 'The newest sample, and when it came.', span: 24 - span, height }
  dashboard.withPanel(newestTable(now, contract, names, { isAlone: true }))

  const drawn = fields.filter(([, field]) => field.type !== 'string' || field.values !== undefined)
  const columns = health ? 3 : 2
  const states = drawn.filter(([, field]) => isState(field))
  const numbers = drawn.filter(([, field]) => !isState(field))
  const places = [...placed(states, columns, STATE_HEIGHT), ...placed(numbers, columns, health ? 6 : 8)]
  places.forEach(({ name, field, ...place }, i) => {
    const at = { id: 20 + i, title: titleOf(contract, name), ...place }
    dashboard.withPanel(fieldPanel(at, contract, name, field))
    if (isWatched(contract, name)) dashboard.annotation(anomalyAnnotation(kind, name, at.title, at.id))
  })
  if (contract.detectors.silence !== undefined || contract.detectors.together !== undefined)
    dashboard.annotation(anomalyAnnotation(kind, '', health ? 'the process' : 'the device'))
  for (const one of qualityAnnotations(kind)) dashboard.annotation(one)
  dashboard
    .withPanel(
      qualityPanel(
        {
          id: 9,
          title: 'Late, not sure of its time, against the contract',
          description: 'Samples by what is the matter with them, at the time that they are of.',
          span: 24,
          height: 6,
        },
        kind,
      ),
    )
    .withPanel(alertsTable({ id: 10, title: 'Alerts', span: 24, height: 5 }, kind))
    .withPanel(anomaliesTable({ id: 11, title: 'Anomalies', span: 24, height: 5 }, kind))
  return finished(dashboard)
}

/** In lines of so many columns; the last line is filled up, however many fields are left for it. */
function placed(fields: readonly Field[], columns: number, height: number) {
  const inLastLine = fields.length % columns
  return fields.map(([name, field], i) => {
    const isLast = inLastLine > 0 && i >= fields.length - inLastLine
    return { name, field, span: 24 / (isLast ? inLastLine : columns), height }
  })
}

/** Worth a column in a wide table: states and shares. */
const isTelling = (field: ContractField): boolean =>
  (isState(field) && (field.type !== 'string' || field.values !== undefined)) || ('unit' in field && field.unit === '%')

/** Does any detector speak of the field? */
const isWatched = (contract: Contract, name: string): boolean =>
  outlierSizeOf(contract, name) !== undefined ||
  contract.thresholds.some((t) => t.field === name) ||
  name in contract.detectors.flatline ||
  fieldsNamedBy(contract.detectors).some(([, field]) => field === name)
