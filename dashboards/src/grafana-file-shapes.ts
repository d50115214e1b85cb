/**
 * Grafana's provisioning files as its documentation describes them ("Provision Grafana", "Use configuration files to provision
 * alerting resources"): the part that versions from 9.3 on share. Grafana itself ignores a key that it does not know, so a
 * misspelt one would go unnoticed; here it is refused. For tests only.
 */
import { z } from 'zod'

const text = z.string().min(1)
const uid = z.string().regex(/^[a-zA-Z0-9_-]{1,40}$/)
/** Prometheus' durations: Go's "1.5h" is none. */
const duration = z.string().regex(/^(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$/)
const orgId = z.int().min(1).optional()
const apiVersion = z.literal(1)
/** A secret never stands in a file. */
const fromEnvironment = z.string().regex(/^[^$]*\$(\{[A-Z0-9_]+\}|[A-Z0-9_]+)$/)

export const dataSourcesFile = z.strictObject({
  apiVersion,
  deleteDatasources: z.array(z.strictObject({ name: text, orgId })).optional(),
  datasources: z
    .array(
      z.strictObject({
        name: text,
        uid,
        type: z.literal('influxdb'),
        access: z.enum(['proxy', 'direct']),
        orgId,
        url: fromEnvironment,
        database: fromEnvironment,
        user: fromEnvironment.optional(),
        basicAuth: z.boolean().optional(),
        basicAuthUser: fromEnvironment.optional(),
        withCredentials: z.boolean().optional(),
        isDefault: z.boolean(),
        editable: z.boolean(),
        version: z.int().optional(),
        jsonData: z.strictObject({
          version: z.literal('InfluxQL'),
          httpMode: z.enum(['GET', 'POST']),
          dbName: fromEnvironment,
          httpHeaderName1: z.literal('Authorization').optional(),
          timeInterval: text.optional(),
          tlsSkipVerify: z.boolean().optional(),
        }),
        secureJsonData: z.union([
          z.strictObject({ password: fromEnvironment }),
          z.strictObject({ httpHeaderValue1: fromEnvironment }),
        ]),
      }),
    )
    .min(1),
})

export const dashboardProvidersFile = z.strictObject({
  apiVersion,
  providers: z
    .array(
      z.strictObject({
        name: text,
        orgId,
        folder: text,
        folderUid: uid,
        type: z.literal('file'),
        disableDeletion: z.boolean(),
        allowUiUpdates: z.boolean(),
        updateIntervalSeconds: z.int().min(10),
        options: z.strictObject({ path: fromEnvironment, foldersFromFilesStructure: z.boolean() }),
      }),
    )
    .min(1),
})

const refId = z.string().regex(/^[A-Z]$/)
const relativeTimeRange = z.strictObject({ from: z.int().min(0), to: z.int().min(0) })
const expressions = z.strictObject({ type: z.literal('__expr__'), uid: z.literal('__expr__') })
const queryNode = z.strictObject({
  refId,
  queryType: z.string().optional(),
  relativeTimeRange: relativeTimeRange.refine(({ from, to }) => from > to, 'the range begins before it ends'),
  datasourceUid: z.literal('tributary'),
  model: z.strictObject({
    refId,
    datasource: z.strictObject({ type: z.literal('influxdb'), uid: z.literal('tributary') }),
    rawQuery: z.literal(true),
    resultFormat: z.literal('time_series'),
    query: text,
    intervalMs: z.int().min(1),
    maxDataPoints: z.int().min(1),
  }),
})
const one = z.tuple([z.number()])
const two = z.tuple([z.number(), z.number()])
const evaluator = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('gt'), params: one }),
  z.strictObject({ type: z.literal('lt'), params: one }),
  z.strictObject({ type: z.literal('within_range'), params: two }),
  z.strictObject({ type: z.literal('outside_range'), params: two }),
])
const reducer = z.enum(['min', 'max', 'mean', 'sum', 'count', 'last'])
const expressionModel = z.discriminatedUnion('type', [
  z.strictObject({ refId, datasource: expressions, type: z.literal('math'), expression: text }),
  z.strictObject({
    ...{ refId, datasource: expressions, type: z.literal('reduce'), expression: refId, reducer },
    settings: z.strictObject({ mode: z.enum(['', 'dropNN']) }),
  }),
  z.strictObject({
    ...{ refId, datasource: expressions, type: z.literal('threshold'), expression: refId },
    conditions: z.tuple([z.strictObject({ evaluator })]),
  }),
])
const expressionNode = z.strictObject({
  refId,
  relativeTimeRange,
  datasourceUid: z.literal('__expr__'),
  model: expressionModel,
})

export const ruleShape = z.strictObject({
  uid,
  title: text.max(190),
  condition: refId,
  data: z.array(z.union([queryNode, expressionNode])).min(2),
  // KeepLast is younger than 9.3.
  noDataState: z.enum(['NoData', 'Alerting', 'OK']),
  execErrState: z.enum(['Error', 'Alerting', 'OK']),
  for: duration,
  annotations: z.record(z.string(), text),
  labels: z.record(z.string().regex(/^[a-z_]+$/), text),
})
export type RuleShape = z.infer<typeof ruleShape>

const matcher = z.tuple([text, z.enum(['=', '!=', '=~', '!~']), z.string()])
const timing = {
  group_by: z.array(text).min(1).optional(),
  group_wait: duration.optional(),
  group_interval: duration.optional(),
  repeat_interval: duration.optional(),
}
const route = z.strictObject({
  receiver: text,
  object_matchers: z.array(matcher).min(1),
  mute_time_intervals: z.array(text).optional(),
  continue: z.boolean().optional(),
  ...timing,
})
const email = z.strictObject({
  uid,
  type: z.literal('email'),
  disableResolveMessage: z.boolean(),
  settings: z.strictObject({
    addresses: fromEnvironment,
    singleEmail: z.boolean().optional(),
    message: text.optional(),
    subject: text.optional(),
  }),
})

export const alertingFile = z.strictObject({
  apiVersion,
  groups: z
    .array(z.strictObject({ orgId, name: text, folder: text, interval: duration, rules: z.array(ruleShape).min(1) }))
    .optional(),
  contactPoints: z.array(z.strictObject({ orgId, name: text, receivers: z.array(email).min(1) })).optional(),
  // A route's root has no matchers and no mute times.
  policies: z.array(z.strictObject({ orgId, receiver: text, ...timing, routes: z.array(route).optional() })).optional(),
  templates: z.array(z.strictObject({ orgId, name: text, template: text })).optional(),
})
