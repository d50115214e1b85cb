/** What devices said last. */
import type { Contract, ContractField } from '@tributary/protocol'
import { kindTitle, stateMappings, thresholdSteps, titleOf, unitId } from './field-style.ts'
import { identifier, SITE_AND_DEVICE } from './influxql.ts'
import { type Column, link, type PanelPlace, table } from './panels.ts'

/** Kinds that our own processes speak of themselves in: the device is the process. */
export const isHealth = (kind: string): boolean => kind.endsWith('_health') || kind === 'host'

/** Newest sample of each device and when it came, whatever range the dashboard shows. @param isAlone it is of one device, which needs no name */
export function newestTable(
  at: PanelPlace,
  contract: Contract,
  names: readonly string[],
  { linkTo, siteOnly = false, isAlone = false }: { linkTo?: string; siteOnly?: boolean; isAlone?: boolean },
) {
  const selected = names.map((name) => `${identifier(name)} AS ${identifier(titleOf(contract, name))}`)
  const where = siteOnly ? `"site" =~ /^$site$/` : SITE_AND_DEVICE
  const whose: Column[] = [
    {
      name: 'device',
      title: 'Device',
      ...(linkTo ? { properties: [link(`Open ${kindTitle(contract.kind)}`, linkTo)] } : {}),
    },
    { name: 'site', title: 'Site' },
  ]
  const columns: Column[] = [
    ...(isAlone ? [] : whose),
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
    hidden: isAlone ? ['device', 'site'] : [],
    timeFrom: '24h',
  })
}
