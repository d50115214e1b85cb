/**
 * Mail over SMTP. The Message-ID is the key, so that a repeat is the same mail; everything about an episode answers its first
 * mail, under one subject that does not change: one thread, in clients that go by References and in those that go by subjects.
 */
import { readFile } from 'node:fs/promises'
import { type Clock, type Logger, PermanentError } from '@tributary/runtime'
import type { SendMailOptions, Transporter } from 'nodemailer'
import { emailHtml } from './email-html.ts'
import { clip, oneLine } from './escape.ts'
import type { Facts } from './facts.ts'
import { AccessRefusedError, type Notification, type Notifier } from './notifier.ts'
import { renderTemplate } from './template.ts'
import { withTimeLimit } from './time-limit.ts'
import { type Wording, wordsOf } from './wording.ts'

export interface EmailOptions extends Wording {
  readonly name: string
  readonly host: string
  readonly port: number
  /** `tls` from the first byte (465), `starttls` or nothing (587), `none`. */
  readonly security: 'starttls' | 'tls' | 'none'
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly from: string
  readonly to: readonly string[]
  readonly timeoutMs: number
  readonly caFile?: string | undefined
}

/** Of SMTP: access, not the mail, is refused. */
const ACCESS_REFUSED = new Set<unknown>([530, 534, 535, 538])
/** What a 5xx to another command says, such as to who we are or whom it comes from, may be mended. */
const ABOUT_THE_MAIL = new Set(['RCPT TO', 'DATA'])
/** Notifications of which some recipients have a mail and others have not yet. */
const PARTLY_SENT_MAX = 100
const SUBJECT_CHARACTERS_MAX = 150

export function emailNotifier(
  options: EmailOptions,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Notifier {
  const { name, host, port, timeoutMs } = options
  const where = `${host}:${port}`
  const recipients = options.to.map(addressOf)
  /** Key → who has it, or never will. */
  const partlySent = new Map<string, Set<string>>()

  /** Some took it, some did not: those who may yet are tried again, alone. */
  function settleRecipients(key: string, had: ReadonlySet<string>, sent: SentMail): void {
    const waiting = sent.refusals.filter(({ code }) => code < 500)
    const isDone = (one: string) =>
      had.has(one) ||
      [...sent.accepted, ...sent.refusals.flatMap(({ recipient, code }) => (code >= 500 ? [recipient] : []))].some(
        (other) => isSameAddress(one, other),
      )
    for (const { recipient, code, said } of sent.refusals)
      if (code >= 500)
        log.error({ receiver: name, key, recipient }, `a recipient was refused: ${where} answered ${said}`)
    partlySent.delete(key)
    if (waiting.length === 0) return
    partlySent.set(key, new Set(recipients.filter(isDone)))
    const [oldest] = partlySent.keys()
    if (partlySent.size > PARTLY_SENT_MAX && oldest !== undefined) partlySent.delete(oldest)
    throw new Error(`${where} did not take it for all: ${waiting[0]?.said}`)
  }

  return {
    name,
    async send(notification, signal) {
      const had = partlySent.get(notification.key) ?? new Set<string>()
      const to = recipients.filter((one) => !had.has(one))
      const sent = await withTimeLimit({ clock, signal, timeoutMs, where }, async (limited) => {
        const transporter = await createTransporter(options)
        try {
          const mail = {
            ...mailOf(notification, options),
            envelope: { from: addressOf(options.from), to },
            signal: limited,
          }
          return sentMail(await transporter.sendMail(mail))
        } catch (error) {
          throw classified(error, where, name)
        } finally {
          transporter.close()
        }
      })
      settleRecipients(notification.key, had, sent)
      return `${where} answered ${sent.said}`
    },
  }
}

async function createTransporter(options: EmailOptions): Promise<Transporter> {
  const { host, port, security, username, password = '', timeoutMs, caFile } = options
  const { createTransport } = await import('nodemailer')
  return createTransport({
    host,
    port,
    secure: security === 'tls',
    requireTLS: security === 'starttls',
    ignoreTLS: security === 'none',
    ...(username === undefined ? {} : { auth: { user: username, pass: password } }),
    tls: caFile === undefined ? {} : { ca: await readFile(caFile) },
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    socketCloseTimeout: 0,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
}

/** The same bytes in each repetition, but for the names of what is marked off in it. */
export function mailOf(notification: Notification, options: Pick<EmailOptions, 'from' | 'to'> & Wording) {
  const { key, transition, queuedAtMs } = notification
  const { text, facts } = wordsOf(notification, options)
  const domain = addressOf(options.from).split('@')[1]
  const idOf = (of: string) => `<${of.replaceAll('/', '.').replace(/[^\w.-]/g, '_')}@${domain}>`
  const first = `${transition.episode}/firing`
  const isFirst = key === first || notification.episodes !== undefined
  const subject = subjectOf(facts, options)
  return {
    from: options.from,
    to: [...options.to],
    subject: isFirst ? subject : `Re: ${subject}`,
    text,
    html: emailHtml(facts, options.text === undefined ? undefined : text),
    messageId: idOf(key),
    ...(isFirst ? {} : { inReplyTo: idOf(first), references: idOf(first) }),
    // A device's clock may be years behind, and its mail would be found among those of that time.
    date: new Date(queuedAtMs ?? transition.atMs),
    headers: { 'Auto-Submitted': 'auto-generated', 'X-Tributary-Key': key },
    ...(transition.severity === 'critical' ? { priority: 'high' as const } : {}),
  } satisfies SendMailOptions
}

/** Nothing in it changes while an episode lasts: no state, no value. */
function subjectOf(facts: Facts, { title }: Wording): string {
  const where = [facts.site, facts.device].filter((name) => name !== '').join('/')
  const own = `[${facts.severity.toUpperCase()}] ${where === '' ? '' : `${where}: `}${facts.label || facts.rule}`
  return clip(oneLine(title === undefined ? own : renderTemplate(title, facts)), SUBJECT_CHARACTERS_MAX)
}

/** `Pumps <pumps@example.org>` → `pumps@example.org` */
const addressOf = (mailbox: string): string => /<([^>]*)>/.exec(mailbox)?.[1] ?? mailbox
const isSameAddress = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()

interface SentMail {
  readonly said: string
  readonly accepted: readonly string[]
  readonly refusals: readonly { readonly recipient: string; readonly code: number; readonly said: string }[]
}

interface SmtpFailure {
  readonly code: string
  readonly responseCode: number
  /** To which it was the answer. */
  readonly command: string
}

interface Refusal extends Error {
  readonly recipient?: string | undefined
  readonly responseCode?: number | undefined
  readonly response?: string | undefined
}

const sentMail = (info: {
  response?: string | undefined
  accepted?: readonly (string | { address: string })[] | undefined
  rejectedErrors?: readonly Refusal[] | undefined
}): SentMail => ({
  said: oneLine(info.response ?? ''),
  accepted: (info.accepted ?? []).map((one) => (typeof one === 'string' ? one : one.address)),
  refusals: (info.rejectedErrors ?? []).map(({ recipient = '', responseCode = 0, response = '' }) => ({
    recipient,
    code: responseCode,
    said: oneLine(response),
  })),
})

function classified(error: unknown, where: string, name: string): unknown {
  if (!(error instanceof Error)) return error
  const { responseCode = 0, code, command = '' } = error as Error & Partial<SmtpFailure>
  const said = `${where}: ${error.message} (check notifier "${name}")`
  if (code === 'EAUTH' || ACCESS_REFUSED.has(responseCode)) return new AccessRefusedError(said, { cause: error })
  if (responseCode < 500 || wantsAnother(error)) return error
  return ABOUT_THE_MAIL.has(command)
    ? new PermanentError(said, { cause: error })
    : new AccessRefusedError(said, { cause: error })
}

/** All recipients were refused: one who was refused for the time being is enough to try again. */
const wantsAnother = (error: Error & { rejectedErrors?: readonly Refusal[] }): boolean =>
  (error.rejectedErrors ?? []).some(({ responseCode = 0 }) => responseCode > 0 && responseCode < 500)
