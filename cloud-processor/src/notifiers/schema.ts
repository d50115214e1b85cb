/** `notifiers:` in the processor's config. */
import { durationMs } from '@tributary/runtime'
import { z } from 'zod'
import { template } from './template.ts'
import { wordingKeys } from './wording.ts'

const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'must be lower-case letters, digits, "_" and "-", at most 63')
/** Path and credentials of an address may be the secret. */
const address = (protocols: RegExp, error: string) =>
  z.string().refine((text) => URL.canParse(text) && protocols.test(new URL(text).protocol), {
    error,
    params: { isSecret: true },
  })
const httpUrl = address(/^https?:$/, 'must be an http or https address').refine(
  (text) => !URL.canParse(text) || isDecodable(new URL(text)),
  { error: 'must have name and password with % as %25', params: { isSecret: true } },
)
function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password)
    return true
  } catch {
    return false
  }
}
const text = z.string().min(1, 'must not be empty')
/** Of the connection, not of the message: HTTP says them by itself. */
const OF_HTTP = /^(connection|content-length|expect|keep-alive|transfer-encoding|upgrade)$/i
const headers = z
  .record(
    z
      .string()
      .regex(/^[A-Za-z0-9-]+$/, 'must be the name of a header')
      .refine((key) => !OF_HTTP.test(key), "must be a header of your own: this one is HTTP's"),
    z.string().regex(/^[\t\x20-\x7e\xa0-\xff]*$/, 'must be one line of Latin characters'),
  )
  .default({})
/** "a@example.org", or "Pumps <a@example.org>". */
const mailbox = z
  .string()
  .regex(
    /^([^<>@\r\n,]+ <[^\s@<>,]+@[^\s@<>,]+>|[^\s@<>,]+@[^\s@<>,]+)$/,
    'must be an address such as "pumps@example.org" or "Pumps <pumps@example.org>"',
  )
/** Certificate authority of the receiver, besides which none counts. */
const tls_ca_file = text.optional()
/** For one attempt. */
const timeoutOf = (usual: string) =>
  durationMs()
    .refine((ms) => ms >= 100, 'must be at least 100ms')
    .prefault(usual)
const timeout = timeoutOf('10s')
const http = { name, url: httpUrl, timeout, headers, tls_ca_file, ...wordingKeys }
const priority = z.int().min(1, 'must be 1 to 5').max(5, 'must be 1 to 5')

/** A password without a name would not be sent. */
const needsUsername = (
  { username, password }: { username?: string | undefined; password?: string | undefined },
  { addIssue }: { addIssue: (issue: { code: 'custom'; path: string[]; message: string }) => void },
): void => {
  if (password !== undefined && username === undefined)
    addIssue({ code: 'custom', path: ['username'], message: 'is needed by password' })
}

const log = z.strictObject({ type: z.literal('log'), name, ...wordingKeys })
const webhook = z.strictObject({
  type: z.literal('webhook'),
  ...http,
  /** Key of the HMAC-SHA256 signature; without it requests are not signed. */
  secret: z.string().min(16, 'must have at least 16 characters').optional(),
})
const slack = z.strictObject({
  type: z.literal('slack'),
  ...http,
  channel: text.optional(),
  username: text.optional(),
  icon_emoji: z
    .string()
    .regex(/^:[\w+-]+:$/, 'must be an emoji such as ":bell:"')
    .optional(),
})
const email = z
  .strictObject({
    type: z.literal('email'),
    name,
    host: z.string().regex(/^[^\s:/]+$/, 'must be the name or address of a host'),
    port: z.int().min(1).max(65_535).optional(),
    security: z.enum(['starttls', 'tls', 'none'], 'must be starttls, tls or none').default('starttls'),
    username: text.optional(),
    password: text.optional(),
    from: mailbox,
    to: z.array(mailbox).min(1, 'must name somebody').max(50),
    timeout: timeoutOf('30s'),
    tls_ca_file,
    ...wordingKeys,
  })
  .superRefine(needsUsername)
const ntfy = z
  .strictObject({
    type: z.literal('ntfy'),
    ...http,
    url: httpUrl.default('https://ntfy.sh'),
    topic: z.string().regex(/^[-_A-Za-z0-9]{1,64}$/, 'must be letters, digits, "_" and "-", at most 64'),
    token: text.optional(),
    username: text.optional(),
    password: text.optional(),
    /** 1 (least) to 5, by severity. */
    priorities: z
      .strictObject({
        info: priority.default(3),
        warning: priority.default(4),
        critical: priority.default(5),
        resolved: priority.default(2),
      })
      .prefault({}),
    tags: z
      .array(z.string().regex(/^[^,\s]{1,64}$/, 'must be a word'))
      .max(10)
      .default([]),
  })
  .superRefine(needsUsername)
const mqtt = z
  .strictObject({
    type: z.literal('mqtt'),
    name,
    url: address(/^mqtts?:$/, 'must be an mqtt or mqtts address'),
    username: text.optional(),
    password: text.optional(),
    /** Each connection's is this and eight digits. */
    client_id: z
      .string()
      .regex(/^[0-9A-Za-z_-]{1,40}$/, 'must be letters, digits, "_" and "-", at most 40')
      .default('tributary-alerts'),
    topic: template(500)
      .refine((topic) => !/[+#\0]|^\$/.test(topic), 'must be a topic, without + and #')
      .default('tributary/alerts/{{site}}/{{device}}/{{rule}}'),
    /** The broker keeps the newest of each topic. */
    retain: z.boolean().default(false),
    timeout,
    tls_ca_file,
    tls_cert_file: text.optional(),
    tls_key_file: text.optional(),
    ...wordingKeys,
  })
  .superRefine(needsUsername)
  .superRefine(({ tls_cert_file, tls_key_file }, { addIssue }) => {
    if ((tls_cert_file === undefined) !== (tls_key_file === undefined))
      addIssue({ code: 'custom', path: ['tls_cert_file'], message: 'tls_cert_file and tls_key_file belong together' })
  })
const alertmanager = z.strictObject({
  type: z.literal('alertmanager'),
  ...http,
  labels: z.record(z.string().regex(/^[A-Za-z_]\w*$/, 'must be the name of a label'), z.string()).default({}),
  /** What stands is told again so often: less than half of Alertmanager's `resolve_timeout`, which is 5m. */
  repeat: durationMs()
    .refine((ms) => ms >= 1_000, 'must be at least 1s')
    .prefault('1m'),
})

const notifier = z.discriminatedUnion('type', [log, webhook, slack, email, ntfy, mqtt, alertmanager], {
  error: (issue) =>
    issue.code === 'invalid_union' ? 'must be log, webhook, slack, email, ntfy, mqtt or alertmanager' : undefined,
})
export type NotifierConfig = z.output<typeof notifier>

export const notifiersSchema = z
  .array(notifier)
  .max(32)
  .default([])
  .superRefine((all, context) => {
    for (const [i, one] of all.entries())
      if (all.findIndex((other) => other.name === one.name) < i)
        context.addIssue({ code: 'custom', path: [i, 'name'], message: 'must be a name that no other notifier has' })
  })

/** For the processor's config: where links in notifications lead, Grafana or the viewer. */
export const dashboardUrlSchema = z.url({ protocol: /^https?$/, error: 'must be an http or https address' }).optional()
