import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Contracts } from '@tributary/protocol'
import { beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { kindColumn } from './event-links.ts'
import { dashboards, provisioningFiles } from './provisioning.ts'
import { provisioningFolder, REBUILD_COMMAND } from './provisioning-folder.ts'
import type { DashboardJson } from './rendering/dashboard-json.ts'
import { unknownFeatures } from './rendering/features.ts'
import { exampleContracts } from './testing.ts'

/** Of a panel of 24 columns on a screen of 1440. */
const WIDE_PIXELS = 1_400

let files: ReadonlyMap<string, string>
let built: readonly DashboardJson[]
let contracts: Contracts
beforeAll(async () => {
  contracts = await exampleContracts()
  files = provisioningFiles(contracts)
  built = dashboards(contracts) as unknown as DashboardJson[]
})

describe('provisioning', () => {
  it('is committed as the code makes it', async () => {
    const found = (await readdir(provisioningFolder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(provisioningFolder.length))
    const stale = new Set<string>()
    for (const path of new Set([...files.keys(), ...found])) {
      const committed = await readFile(join(provisioningFolder, path), 'utf8').catch(() => undefined)
      if (committed !== files.get(path)) stale.add(path)
    }
    expect([...stale], `dashboards/provisioning is stale: run \`${REBUILD_COMMAND}\` and commit the result`).toEqual([])
  })

  it('keeps the uids that links and bookmarks have', () => {
    expect(built.map((d) => d.uid)).toEqual([
      'tributary-fleet',
      'tributary-account',
      'tributary-pipeline',
      'tributary-alerts',
      'tributary-quality',
      'tributary-agent-health',
      'tributary-climate',
      'tributary-gateway-health',
      'tributary-host',
      'tributary-power',
      'tributary-processor-health',
      'tributary-tank',
      'tributary-vibration',
      'compare-climate',
      'compare-power',
      'compare-tank',
      'compare-vibration',
    ])
    for (const { uid } of built) expect(uid).toMatch(/^[a-zA-Z0-9_-]{1,40}$/)
  })

  it('loads in Grafana 9.3: its schema version, data source references, panels in the grid', () => {
    for (const dashboard of built as (DashboardJson & { schemaVersion: number; id: null })[]) {
      expect(dashboard.schemaVersion).toBe(37)
      expect(dashboard.id).toBeNull()
      const panels = dashboard.panels ?? []
      expect(new Set(panels.map((p) => p.id)).size, `${dashboard.title}: panel ids`).toBe(panels.length)
      for (const panel of panels as ((typeof panels)[number] & { datasource: unknown })[]) {
        expect(panel.datasource).toEqual({ type: 'influxdb', uid: 'tributary' })
        expect(panel.gridPos.x + panel.gridPos.w).toBeLessThanOrEqual(24)
        for (const target of panel.targets ?? [])
          expect(target).toMatchObject({ rawQuery: true, datasource: panel.datasource })
      }
      const overlapping = panels.filter((a, i) =>
        panels
          .slice(i + 1)
          .some(
            ({ gridPos: b }) =>
              a.gridPos.x < b.x + b.w &&
              b.x < a.gridPos.x + a.gridPos.w &&
              a.gridPos.y < b.y + b.h &&
              b.y < a.gridPos.y + a.gridPos.h,
          ),
      )
      expect(
        overlapping.map((p) => p.title),
        `${dashboard.title}: overlapping panels`,
      ).toEqual([])
      const area = panels.reduce((sum, { gridPos }) => sum + gridPos.w * gridPos.h, 0)
      const height = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h))
      expect(area, `${dashboard.title}: holes in the grid`).toBe(24 * height)
    }
  })

  it('gives a message half of a wide table', () => {
    const tables = built
      .flatMap(({ panels = [] }) => panels)
      .filter((p) => p.fieldConfig?.overrides.some(({ matcher }) => matcher.options === 'Message'))
    expect(tables.length).toBeGreaterThan(10)
    for (const { title, fieldConfig, gridPos } of tables) {
      const propertyOf = (id: string, { properties }: { properties: readonly { id: string; value?: unknown }[] }) =>
        properties.find((property) => property.id === id)?.value
      const seen = (fieldConfig?.overrides ?? []).filter((override) => propertyOf('custom.hidden', override) !== true)
      const widths = seen
        .filter(({ matcher }) => matcher.options !== 'Message')
        .map((one) => Number(propertyOf('custom.width', one) ?? Number.NaN))
      const taken = widths.reduce((sum, width) => sum + width, 0)
      expect([title, gridPos.w]).toEqual([title, 24])
      expect(taken, title).toBeLessThan(WIDE_PIXELS / 2)
    }
  })

  it('says what is counted on every axis of the overviews that has no unit', () => {
    const bare = built
      .filter(({ tags }) => tags?.includes('overview'))
      .flatMap(({ panels = [] }) => panels)
      .filter(({ type, fieldConfig }) => type === 'timeseries' && fieldConfig?.defaults.unit === 'short')
      .filter(({ fieldConfig }) => !fieldConfig?.defaults.custom?.axisLabel)
    expect(bare.map(({ title }) => title)).toEqual([])
  })

  it('names the colours of states in a legend: a short bar has no room for its word', () => {
    const timelines = built.flatMap(({ panels = [] }) => panels).filter(({ type }) => type === 'state-timeline')
    expect(timelines.length).toBeGreaterThan(5)
    for (const { title, options } of timelines) expect(options, title).toMatchObject({ legend: { showLegend: true } })
  })

  it('uses nothing that the viewer cannot draw', () => {
    for (const dashboard of built) expect(unknownFeatures(dashboard), dashboard.title).toEqual([])
  })

  it('links to dashboards that exist', () => {
    const uids = built.map((d) => d.uid)
    const links = [...JSON.stringify(built).matchAll(/"\/d\/([^/"?]+)/g)].map((m) => m[1])
    expect(links.length).toBeGreaterThan(0)
    // A link may name the kind that its row shows.
    const mappings = kindColumn(contracts)[0]?.value as { options: Record<string, { text: string }> }[]
    const shown = [...contracts.keys()].map((kind) => mappings[0]?.options[kind]?.text ?? kind)
    const isKind = /\$\{__data\.fields\.kind\}/
    // Or the dashboard that the row's hidden column `to` shows: attention.integration.test.ts has those.
    for (const uid of links)
      if (uid !== '$'.concat('{__data.fields.to}'))
        for (const kind of shown) expect(uids).toContain(uid?.replace(isKind, kind))
    expect(JSON.stringify(mappings)).toContain('"match":"empty","result":{"text":"fleet"')
    expect(uids).toContain('tributary-fleet')
  })

  it('has one data source for either InfluxDB, secrets from the environment', () => {
    const [one, two] = ['datasources/tributary.yaml', 'datasources-influxdb2/tributary.yaml'].map(
      (path) => parse(files.get(path) as string).datasources[0],
    )
    for (const source of [one, two])
      expect(source).toMatchObject({ uid: 'tributary', type: 'influxdb', url: '$TRIBUTARY_INFLUX_URL' })
    expect(one.secureJsonData).toEqual({ password: '$TRIBUTARY_INFLUX_PASSWORD' })
    expect(two.jsonData).toMatchObject({ version: 'InfluxQL', httpHeaderName1: 'Authorization' })
    expect(two.secureJsonData).toEqual({ httpHeaderValue1: 'Token $TRIBUTARY_INFLUX_TOKEN' })
    expect(parse(files.get('dashboards/tributary.yaml') as string).providers[0].options.path).toBe(
      '$TRIBUTARY_DASHBOARDS_FOLDER',
    )
  })
})
