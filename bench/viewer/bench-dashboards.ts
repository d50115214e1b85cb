/** Ten panels each: as the shipped dashboards have them, from windows; and from every single reading. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dashboardsFolder } from '@tributary/dashboards'
import { UserError } from '@tributary/runtime'
import { FIELDS, KINDS } from './day-of-data.ts'

interface Panel {
  readonly id: number
  readonly type: string
  readonly title?: string
  readonly targets?: readonly { readonly query: string }[]
  readonly panels?: readonly Panel[]
  readonly repeat?: string
}
interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly panels: readonly Panel[]
  readonly templating?: object
}

export const PANELS = 10
const HEIGHT = 7

const inGrid = (panels: readonly Panel[]): Panel[] =>
  panels.map(({ repeat, ...panel }, i) => ({
    ...panel,
    id: i + 1,
    gridPos: { x: (i % 2) * 12, y: Math.floor(i / 2) * HEIGHT, w: 12, h: HEIGHT },
  }))

/** @throws UserError when the shipped dashboards have no chart for one of the fields */
export async function fromShipped(): Promise<Dashboard> {
  const shipped = await Promise.all(
    Object.keys(KINDS).map(async (kind) => {
      const file = join(dashboardsFolder, `${kind}.json`)
      return [kind, JSON.parse(await readFile(file, 'utf8')) as Dashboard] as const
    }),
  )
  const panels = FIELDS.map(({ kind, field }) => {
    const all = (shipped.find(([name]) => name === kind)?.[1].panels ?? []).flatMap((p) => [p, ...(p.panels ?? [])])
    const asks = ({ targets = [] }: Panel) =>
      targets.some(({ query }) => query.includes(`"${field}"`) && query.includes(`"${kind}"`))
    const found = all.find((panel) => panel.type === 'timeseries' && asks(panel))
    if (!found) throw new UserError(`the dashboard ${kind}.json has no chart of ${field}`)
    return { ...found, title: `${kind} ${field}` }
  })
  const templating = shipped[0]?.[1].templating
  return { uid: 'bench-windows', title: 'Windows', panels: inGrid(panels), ...(templating ? { templating } : {}) }
}

export function fromReadings(): Dashboard {
  const panels = FIELDS.map(({ kind, device, field }, i) => ({
    id: i,
    type: 'timeseries',
    title: `${kind} ${field}`,
    targets: [
      {
        refId: 'A',
        resultFormat: 'time_series',
        alias: '$tag_device',
        query: `SELECT mean("${field}") FROM "${kind}" WHERE $timeFilter AND "device" = '${device}' GROUP BY time($__interval), "device"`,
      },
    ],
    options: { legend: { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: ['lastNotNull'] } },
    fieldConfig: { defaults: { decimals: 6, custom: {} }, overrides: [] },
  }))
  return { uid: 'bench-readings', title: 'Readings', panels: inGrid(panels) }
}
