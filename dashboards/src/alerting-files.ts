/**
 * Grafana's alerting files (apiVersion 1): rules on the pipeline, who is told, and how. The shapes are those of file provisioning,
 * which are not the HTTP API's that the foundation SDK has: groups hold their rules and name a folder by its title, durations are
 * text, a contact point holds several receivers.
 */
import { stringify } from 'yaml'
import { type PipelineRule, pipelineRules } from './alert-rules.ts'
import { DATASOURCE } from './influx-query.ts'
import { anchorOf, RUNBOOK_SECTIONS } from './runbook.ts'

/** Not that of the dashboards: Grafana makes it before it reads theirs, and would give it another uid than theirs has. */
const FOLDER = 'Tributary alerts'
const CONTACT_POINT = 'Tributary on call'
const EXPRESSIONS = { type: '__expr__', uid: '__expr__' } as const
const GROUPS = ['agents', 'gateways', 'processors', 'account'] as const

/** A query or expression of a rule; its result is known by `refId`. */
interface RuleNode {
  readonly refId: string
  readonly datasourceUid: string
  readonly relativeTimeRange: { readonly from: number; readonly to: number }
  readonly model: Readonly<Record<string, unknown>>
}

const queryNode = (refId: string, query: string, from: number): RuleNode => ({
  refId,
  datasourceUid: DATASOURCE.uid,
  relativeTimeRange: { from, to: 0 },
  model: {
    refId,
    datasource: DATASOURCE,
    rawQuery: true,
    resultFormat: 'time_series',
    query,
    intervalMs: 10_000,
    maxDataPoints: 43_200,
  },
})

const expressionNode = (refId: string, model: Readonly<Record<string, unknown>>): RuleNode => ({
  refId,
  datasourceUid: EXPRESSIONS.uid,
  relativeTimeRange: { from: 0, to: 0 },
  model: { refId, datasource: EXPRESSIONS, ...model },
})

const reduceNode = (refId: string, expression: string, reducer: string): RuleNode =>
  expressionNode(refId, { type: 'reduce', expression, reducer, settings: { mode: 'dropNN' } })

/** A asks, B is its number, C says whether it is bad; where that counts only while something else is so, D asks for it and F is both. */
function nodesOf({ query, rangeSeconds, reducer, evaluator, onlyWhile }: PipelineRule): RuleNode[] {
  const nodes = [
    queryNode('A', query, rangeSeconds),
    reduceNode('B', 'A', reducer),
    expressionNode('C', {
      type: 'threshold',
      expression: 'B',
      conditions: [{ evaluator: { type: evaluator.type, params: [...evaluator.params] } }],
    }),
  ]
  if (onlyWhile === undefined) return nodes
  return [
    ...nodes,
    queryNode('D', onlyWhile, rangeSeconds),
    reduceNode('E', 'D', 'last'),
    expressionNode('F', { type: 'math', expression: '$C && $E > 0' }),
  ]
}

function ruleOf(rule: PipelineRule) {
  const data = nodesOf(rule)
  return {
    uid: rule.uid,
    title: rule.title,
    condition: data.at(-1)?.refId,
    data,
    noDataState: rule.noDataState,
    // That InfluxDB does not answer Grafana is told as that (DatasourceError), and ends no alert that fires.
    execErrState: 'Error',
    for: rule.holds,
    annotations: { summary: rule.summary, runbook: `docs/runbook.md#${anchorOf(RUNBOOK_SECTIONS[rule.runbook])}` },
    labels: { severity: rule.severity, pipeline: rule.group },
  }
}

const rules = {
  apiVersion: 1,
  groups: GROUPS.map((group) => ({
    orgId: 1,
    name: `Tributary ${group}`,
    folder: FOLDER,
    interval: '1m',
    rules: pipelineRules.filter((rule) => rule.group === group).map(ruleOf),
  })),
}

const templates = {
  apiVersion: 1,
  templates: [
    {
      orgId: 1,
      name: 'tributary',
      template: `{{ define "tributary.title" }}{{ if .Alerts.Firing }}{{ len .Alerts.Firing }} firing{{ else }}over{{ end }}: {{ .CommonLabels.alertname }}{{ with .CommonLabels.site }} at {{ . }}{{ end }}{{ end }}
{{ define "tributary.alert" }}{{ .Labels.severity }}, since {{ .StartsAt.Format "2006-01-02 15:04:05 MST" }}: {{ .Annotations.summary }}{{ end }}
`,
    },
  ],
}

const contactPoints = {
  apiVersion: 1,
  contactPoints: [
    {
      orgId: 1,
      name: CONTACT_POINT,
      receivers: [
        {
          uid: 'tributary-on-call-mail',
          type: 'email',
          settings: {
            addresses: '$TRIBUTARY_ALERT_EMAIL',
            singleEmail: true,
            subject: '{{ template "tributary.title" . }}',
            message: `{{ range .Alerts.Firing }}{{ template "tributary.alert" . }}
What to do: \${TRIBUTARY_RUNBOOK_URL}{{ .Annotations.runbook }}

{{ end }}{{ range .Alerts.Resolved }}Over: {{ template "tributary.alert" . }}

{{ end }}`,
          },
          disableResolveMessage: false,
        },
      ],
    },
  ],
}

const policies = {
  apiVersion: 1,
  policies: [
    {
      orgId: 1,
      receiver: CONTACT_POINT,
      // One message a thing and site: a dead link is not one an agent.
      group_by: ['alertname', 'site'],
      group_wait: '30s',
      group_interval: '5m',
      repeat_interval: '12h',
      routes: [
        {
          // InfluxDB does not answer: every rule says so, and it is one thing.
          receiver: CONTACT_POINT,
          object_matchers: [['alertname', '=', 'DatasourceError']],
          group_by: ['alertname'],
          group_wait: '1m',
          repeat_interval: '4h',
        },
        {
          receiver: CONTACT_POINT,
          object_matchers: [['severity', '=', 'critical']],
          group_wait: '10s',
          repeat_interval: '4h',
        },
      ],
    },
  ],
}

const ABOUT: Readonly<Record<string, readonly [comment: string, content: object]>> = {
  rules: ['Rules on the pipeline itself; what each means and what to do: docs/runbook.md.', rules],
  templates: ['How a notification reads.', templates],
  'contact-points': [
    `Who is told. The environment of grafana-server must have TRIBUTARY_ALERT_EMAIL (addresses, with ";" between) and
# TRIBUTARY_RUNBOOK_URL (what stands before docs/runbook.md in a link; may be empty). Mail goes by Grafana's own [smtp] settings.`,
    contactPoints,
  ],
  policies: [
    `Which alert goes to whom. Grafana has one tree of policies: this file replaces it. Leave this file and contact-points.yaml
# out where others keep alerts in the same Grafana, and route by the label "pipeline".`,
    policies,
  ],
}

/** Path below `provisioning/` → text. @param notice first line of a file that is made */
export const alertingFiles = (notice: string): [path: string, text: string][] =>
  Object.entries(ABOUT).map(([name, [comment, content]]) => [
    `alerting/${name}.yaml`,
    `${notice}\n# ${comment}\n${stringify(content, { lineWidth: 0, aliasDuplicateObjects: false })}`,
  ])
