/** The table of what needs a person against a real influxd: each concern alone, all at once, and none. */
import { systemClock } from '@tributary/runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attentionTable } from './attention.ts'
import { dashboards } from './provisioning.ts'
import type { PanelJson } from './rendering/dashboard-json.ts'
import { settingsOf } from './rendering/field-config.ts'
import { fillLink } from './rendering/links.ts'
import { fillQuery } from './rendering/macros.ts'
import { panelTable, rowTexts } from './rendering/panel-data.ts'
import { type EmptyInflux, exampleContracts, startEmptyInflux } from './testing.ts'

const SECOND_MS = 1_000
const DAY_MS = 86_400_000
let influx: EmptyInflux
let panel: PanelJson
let nowMs: number

const healthy = 'clock_trusted=true,spool_used_percent=4.0,uptime_s=90i'
const linesOf = (now: number): string[] => {
  const heard = (kind: string, site: string, device: string, fields: string, ageMs = 5 * SECOND_MS) =>
    `${kind},site=${site},device=${device} ${fields} ${now - ageMs}`
  const letters = (reason: string, readings: number) =>
    `dead_letter,site=bad,device=agent-1,stage=contract,reason=${reason} letters=3i,readings=${readings}i ${now - DAY_MS}`
  const alert = (device: string, rule: string, state: string) =>
    `alert,site=bad,device=${device},rule=${rule},field=x,detector=y state="${state}",severity="warning" ${now - DAY_MS}`
  return [
    heard('agent_health', 'good', 'agent-9', healthy),
    heard('gateway_health', 'good', 'gateway-9', 'spool_used_percent=79.9,uptime_s=90i'),
    heard('processor_health', 'good', 'processor-9', 'receivers_failing=0i,uptime_s=90i'),
    heard('account', 'good', 'agent-9', 'missing=0i,stored=7i'),
    // Out of use for longer than anyone is missed.
    heard('agent_health', 'good', 'agent-8', healthy, 8 * DAY_MS),
    heard('account', 'bad', 'agent-1', 'missing=12i,stored=7i', 40 * DAY_MS),
    heard('processor_health', 'bad', 'processor-1', 'receivers_failing=2i,uptime_s=90i'),
    heard('processor_health', 'bad', 'processor-2', 'receivers_failing=0i,uptime_s=90i', 90 * SECOND_MS),
    heard('gateway_health', 'bad', 'gateway-1', 'spool_used_percent=80.5,uptime_s=90i', 3 * DAY_MS),
    heard('agent_health', 'bad', 'agent-1', 'clock_trusted=true,spool_used_percent=97.5,uptime_s=80i', 20 * SECOND_MS),
    heard('agent_health', 'bad', 'agent-1', 'clock_trusted=false,spool_used_percent=97.5,uptime_s=90i'),
    ...[letters('out_of_range', 9), letters('wrong_type', 4), letters('dropped', 100), letters('bad_checksum', 0)],
    alert('pump-1', 'r1', 'firing'),
    alert('pump-1', 'r2', 'escalated'),
    alert('pump-1', 'r3', 'acknowledged'),
    alert('pump-2', 'r1', 'resolved'),
  ]
}

beforeAll(async () => {
  influx = await startEmptyInflux()
  nowMs = systemClock.wallMs()
  await influx.query('CREATE DATABASE tributary')
  await influx.write('tributary', linesOf(nowMs))
  const place = { id: 1, title: 'What needs a person', span: 12, height: 7 }
  panel = JSON.parse(JSON.stringify(attentionTable(place, await exampleContracts()).build()))
})
afterAll(() => influx?.stop())

const rawRange = { from: 'now-6h', to: 'now' }
async function rowsAt(site: string) {
  const variables = [{ name: 'site', values: [site], options: [], isPattern: true }]
  const context = { range: { fromMs: nowMs - 7 * DAY_MS, toMs: nowMs }, intervalMs: 60_000, variables }
  const answers = await Promise.all(
    (panel.targets ?? []).map(({ query }) => influx.query(fillQuery(query, context), 'tributary')),
  )
  const table = panelTable(panel, answers)
  return Array.from({ length: table.rowCount }, (_, row) => {
    const texts = rowTexts(table, row, panel, nowMs)
    const hrefs = ['What', 'Whose'].map((column) => {
      const [link] = settingsOf(panel.fieldConfig, [column]).links ?? []
      return fillLink(link?.url ?? '', { rawRange, variables, row: texts })
    })
    return [`${texts['what']}, ${texts['n']}: ${texts['device']} at ${texts['site']}`, ...hrefs] as const
  })
}

describe('what needs a person', () => {
  it('is nothing where all is well', async () => {
    expect(await rowsAt('good')).toEqual([])
    expect(panel.fieldConfig?.defaults.noValue).toBe('Nothing needs a person')
    const organized = panel.transformations?.at(-1)?.options as { renameByName: Record<string, string> } | undefined
    expect(Object.values(organized?.renameByName ?? {})).toEqual(['What', 'How many', 'Whose', 'Site'])
  })

  it('is each concern, worst first, with how many and whose', async () => {
    expect((await rowsAt('bad')).map(([said]) => said)).toEqual([
      'Readings missing, 12: agent-1 at bad',
      'Processor silent, 1: processor-2 at bad',
      'Gateway silent, 1: gateway-1 at bad',
      'Receivers take no notifications, 2: processor-1 at bad',
      'Percent of the spool used, 98: agent-1 at bad',
      'Percent of the spool used, 81: gateway-1 at bad',
      'Clock not trusted, 1: agent-1 at bad',
      'Readings in dead letters, 13: agent-1 at bad',
      'Alerts not acknowledged, 2: pump-1 at bad',
    ])
  })

  it('leads to the dashboard and to the section of the runbook, in the same time range', async () => {
    const rows = await rowsAt('bad')
    const ofRow = (begin: string) => rows.find(([said]) => said.startsWith(begin))?.slice(1)
    const kept = (device: string) => `var-site=bad&var-device=${device}&from=now-6h&to=now`
    expect(ofRow('Readings missing')).toEqual([
      '/docs/runbook.md#missing--0-in-the-ledger',
      `/d/tributary-account?${kept('agent-1')}`,
    ])
    expect(ofRow('Percent of the spool used, 81')).toEqual([
      '/docs/runbook.md#spool-full-shed',
      `/d/tributary-gateway-health?${kept('gateway-1')}`,
    ])
    expect(ofRow('Alerts not')?.[1]).toBe(`/d/tributary-alerts?${kept('pump-1')}`)
    const uids = dashboards(await exampleContracts()).map(({ uid }) => uid)
    for (const [, , href = ''] of rows) expect(uids).toContain(href.split(/[/?]/)[2])
  })
})
