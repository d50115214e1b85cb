/** Every provisioning file has a documented shape, and what the files name in each other and in the runbook exists. */
import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { alertingFile, dashboardProvidersFile, dataSourcesFile, type RuleShape } from './grafana-file-shapes.ts'
import { provisioningFiles } from './provisioning.ts'
import { anchorOf } from './runbook.ts'
import { exampleContracts } from './testing.ts'

let yaml: Map<string, string>
let rules: RuleShape[]
const groupsOf = (path: string) => alertingFile.parse(parse(yaml.get(path) as string))
beforeAll(async () => {
  const files = provisioningFiles(await exampleContracts())
  yaml = new Map([...files].filter(([path]) => path.endsWith('.yaml')))
  rules = (groupsOf('alerting/rules.yaml').groups ?? []).flatMap((group) => group.rules)
})

describe('provisioning files', () => {
  it('have the shapes that Grafana documents, without a key that it does not', () => {
    const shapes = { datasources: dataSourcesFile, dashboards: dashboardProvidersFile, alerting: alertingFile }
    const seen = new Set<string>()
    for (const [path, text] of yaml) {
      const folder = (/^(datasources|dashboards|alerting)/.exec(path) ?? [])[1] as keyof typeof shapes
      const { success, error } = shapes[folder].safeParse(parse(text))
      expect(success, `${path}: ${error}`).toBe(true)
      seen.add(path)
    }
    expect([...seen].sort()).toEqual([
      'alerting/contact-points.yaml',
      'alerting/policies.yaml',
      'alerting/rules.yaml',
      'alerting/templates.yaml',
      'dashboards/tributary.yaml',
      'datasources-influxdb2/tributary.yaml',
      'datasources-influxdb3/tributary.yaml',
      'datasources/tributary.yaml',
    ])
  })

  it('a misspelt key, a secret in the file, a duration that is none are refused', () => {
    const changed = (path: string, from: string, to: string) => {
      const text = yaml.get(path) as string
      expect(text).toContain(from)
      return parse(text.replace(from, to))
    }
    const influx2 = 'datasources-influxdb2/tributary.yaml'
    expect(dataSourcesFile.safeParse(changed(influx2, '$TRIBUTARY_INFLUX_TOKEN', 's3cret')).success).toBe(false)
    expect(dataSourcesFile.safeParse(changed(influx2, 'httpMode', 'httpmode')).success).toBe(false)
    for (const [from, to] of [
      ['noDataState', 'nodataState'],
      ['noDataState: OK', 'noDataState: KeepLast'],
      ['interval: 1m', 'interval: 60'],
      ['for: 2m', 'for: 1.5m'],
      ['type: reduce', 'type: reducer'],
    ] as const)
      expect(alertingFile.safeParse(changed('alerting/rules.yaml', from, to)).success, to).toBe(false)
  })

  it('the three data sources are one to the dashboards', () => {
    const sources = [...yaml]
      .filter(([path]) => path.startsWith('datasources'))
      .map(([, text]) => dataSourcesFile.parse(parse(text)).datasources)
    expect(sources.map((all) => all.map(({ uid, name }) => `${uid} ${name}`))).toEqual(
      Array(3).fill(['tributary Tributary']),
    )
  })
})

describe('alerting', () => {
  it('rules are told apart, and their nodes are known to each other', () => {
    expect(new Set(rules.map((rule) => rule.uid)).size).toBe(rules.length)
    expect(new Set(rules.map((rule) => rule.title)).size).toBe(rules.length)
    for (const { title, condition, data } of rules) {
      const before = new Set<string>()
      for (const { refId, model } of data) {
        expect(model.refId, title).toBe(refId)
        const used = 'expression' in model ? [...model.expression.matchAll(/\$?\b([A-Z])\b/g)].map((m) => m[1]) : []
        for (const name of used) expect([...before], `${title}: ${refId} uses ${name}`).toContain(name)
        before.add(refId)
      }
      expect([...before].at(-1)).toBe(condition)
    }
  })

  it('every rule says what to do, and links to a line of the runbook that exists', async () => {
    const runbook = await readFile(new URL('../../docs/runbook.md', import.meta.url), 'utf8')
    const headings = [...runbook.matchAll(/^## (.+)$/gm)].map((m) => `docs/runbook.md#${anchorOf(m[1] as string)}`)
    for (const { title, annotations } of rules) {
      expect(annotations['summary'], title).toMatch(/\. .+[.?]$/)
      expect(headings, title).toContain(annotations['runbook'])
    }
  })

  it('only silence of the processors is an alert when there is no data; an error of InfluxDB ends none', () => {
    expect(rules.filter((rule) => rule.noDataState !== 'OK').map((rule) => rule.uid)).toEqual([
      'tributary-processor-silent',
    ])
    expect(new Set(rules.map((rule) => rule.execErrState))).toEqual(new Set(['Error']))
  })

  it('policies name a contact point, contact points a template, that is in the files', () => {
    const points = (groupsOf('alerting/contact-points.yaml').contactPoints ?? []).map((point) => point.name)
    const [policy] = groupsOf('alerting/policies.yaml').policies ?? []
    for (const { receiver } of [policy, ...(policy?.routes ?? [])].filter((p) => p !== undefined))
      expect(points).toContain(receiver)
    const [template] = groupsOf('alerting/templates.yaml').templates ?? []
    const defined = [...(template?.template ?? '').matchAll(/\{\{ define "([^"]+)"/g)].map((m) => m[1])
    const used = [...(yaml.get('alerting/contact-points.yaml') ?? '').matchAll(/template \\?"([^"\\]+)/g)].map(
      (m) => m[1],
    )
    expect(new Set(used)).toEqual(new Set(defined))
    const labels = new Set(rules.flatMap((rule) => Object.keys(rule.labels)))
    for (const { object_matchers } of policy?.routes ?? [])
      for (const [label] of object_matchers) expect([...labels, 'alertname']).toContain(label)
  })

  it('no variable stands where Grafana would put nothing in its place', () => {
    // Interpolated are titles, labels and settings; annotations and queries are not.
    for (const { title, labels } of rules) expect(JSON.stringify([title, labels])).not.toContain('$')
    for (const { annotations } of rules) expect(JSON.stringify(annotations)).not.toMatch(/\$(?!labels|values)/)
    expect(yaml.get('alerting/policies.yaml')).not.toContain('$')
  })
})
