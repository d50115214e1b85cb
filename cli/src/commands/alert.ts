/** `tributary alert`: what is open, who was told; acknowledge it, ask for silence, try a receiver. */
import { randomBytes } from 'node:crypto'
import type { ListedAlert, ListedSilence } from '@tributary/cloud-processor'
import type { SilenceMatch } from '@tributary/protocol'
import { systemClock, UserError } from '@tributary/runtime'
import { Command, Option } from 'commander'
import {
  type AskingOptions,
  ask,
  lookAtAlerts,
  type Said,
  type SayingOptions,
  say,
  sayUnanswered,
  summary,
  withAsking,
  withOperators,
  withSaying,
} from '../operator-requests.ts'
import { duration } from '../option-values.ts'
import { age, brief, count, plain, print, printJson, table } from '../print.ts'

export function alertCommand(): Command {
  return new Command('alert')
    .enablePositionalOptions()
    .description('open alerts: list and acknowledge them, ask for silence, test who is told')
    .addCommand(
      withAsking(new Command('list').description('open alerts of all partitions, the most severe first'))
        .option('--site <name>', 'of this site alone')
        .option('--firing', 'not those that are pending')
        .option('--json', 'print {alerts: […], more, unanswered: [partition]}')
        .action(list),
    )
    .addCommand(
      withSaying(
        new Command('ack')
          .description('acknowledge alerts: they are neither repeated nor escalated any more')
          .argument('<episodes...>', 'as `alert list` prints them, or how they begin'),
      )
        .option('--json', 'print [{episode, outcome, detail, unanswered}]')
        .action(acknowledge),
    )
    .addCommand(silenceCommand())
    .addCommand(
      withAsking(
        new Command('test')
          .description('send a test notification, and say what the receiver answered')
          .argument('<receiver>', "its name in the processor's config"),
      )
        .option('--json', 'print {processor, receivers, isKnown, tookMs, said, fault}')
        .action(testOne),
    )
}

function silenceCommand(): Command {
  return withSaying(
    new Command('silence')
      .description('tell nobody of such alerts for a while; they are recorded all the same')
      // What stands behind `list` is its own.
      .enablePositionalOptions(),
  )
    .option('--site <names...>', 'of these sites; * stands for any text, here and below')
    .option('--device <names...>', 'of these devices')
    .option('--rule <names...>', 'of these rules')
    .option('--field <names...>', 'of these fields')
    .addOption(new Option('--for <duration>', 'for how long').argParser(duration).default(7_200_000, '2h'))
    .option('--json', 'print {id, outcome, detail, unanswered}')
    .addHelpText(
      'after',
      `
What fires already and was told stays told; it is not repeated. What still fires when the silence ends is told then.

Examples:
  tributary alert silence --device 'pump-*' --for 2h --comment 'bearings are being changed'
  tributary alert silence list
  tributary alert silence end 3f0c9a52`,
    )
    .action(silence)
    .addCommand(
      withAsking(new Command('list').description('silences that are in force'))
        .option('--json', 'print {silences: […], more, unanswered: [partition]}')
        .action(listSilences),
    )
    .addCommand(
      withSaying(
        new Command('end')
          .description('end a silence: what still fires is told at once')
          .argument('<id>', 'as `alert silence list` prints it'),
      )
        .option('--json', 'print {outcome, detail, unanswered}')
        .action(endSilence),
    )
}

const SEVERITIES = ['critical', 'warning', 'info']

async function list(options: AskingOptions & { site?: string; firing?: boolean }): Promise<void> {
  const { alerts, more, unanswered } = await lookAtAlerts(options)
  const shown = alerts
    .filter(({ site }) => options.site === undefined || site === options.site)
    .filter(({ state }) => !options.firing || state === 'firing')
    .sort(
      (a, b) =>
        SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) || a.startedAt.localeCompare(b.startedAt),
    )
  if (options.json) printJson({ alerts: shown, more, unanswered })
  else {
    const head = ['episode', 'severity', 'state', 'since', 'site', 'device', 'rule', 'told', 'message']
    if (shown.length === 0) print('no alert is open')
    else print(table(head, shown.map(alertRow)))
    if (more > 0) print(`and ${count(more)} more`)
    sayUnanswered(unanswered)
  }
}

const alertRow = (alert: ListedAlert) => [
  alert.episode,
  alert.severity,
  sayState(alert),
  age(systemClock.wallMs() - Date.parse(alert.startedAt)),
  alert.site,
  alert.device,
  alert.rule,
  alert.told.join(' '),
  brief(alert.message),
]

function sayState({ state, held, acknowledged, escalated }: ListedAlert): string {
  if (acknowledged) return `acknowledged by ${acknowledged.by}`
  if (held) return `${held.why} by ${held.by}`
  return escalated ? 'escalated' : state
}

async function acknowledge(episodes: string[], options: SayingOptions): Promise<void> {
  const { alerts, unanswered } = await lookAtAlerts(options)
  const outcomes: (Said & { episode: string })[] = []
  for (const begin of episodes) {
    const found = alerts.filter(({ episode }) => episode.startsWith(begin))
    const [alert] = found
    if (alert === undefined || found.length > 1)
      throw new UserError(
        found.length > 1 ? `${found.length} open alerts begin with ${begin}` : `no open alert is ${begin}`,
        {
          hint:
            unanswered.length > 0
              ? `no processor answered for partitions ${unanswered.join(', ')}: it may be there`
              : '`tributary alert list` prints those that are open',
        },
      )
    const { episode, partition } = alert
    if (alert.state === 'pending')
      throw new UserError(`${episode} is pending: nobody was told yet`, { hint: 'acknowledge it when it fires' })
    const said = summary(await ask([partition], { action: 'acknowledge', episode }, options), 1)
    outcomes.push({ episode, ...said })
    say(`${alert.device} ${alert.rule} (${episode})`, said, options.json)
  }
  if (options.json) printJson(outcomes)
}

interface SilenceOptions extends SayingOptions {
  readonly site?: string[]
  readonly device?: string[]
  readonly rule?: string[]
  readonly field?: string[]
  /** Milliseconds. */
  readonly for: number
}

async function silence(options: SilenceOptions): Promise<void> {
  const { site, device, rule, field } = options
  const match: SilenceMatch = {
    ...(site && { site }),
    ...(device && { device }),
    ...(rule && { rule }),
    ...(field && { field }),
  }
  if (Object.keys(match).length === 0)
    throw new UserError('say what is to be silent', {
      hint: "give --site, --device, --rule or --field; --site '*' means everything",
    })
  const { ALL_PARTITIONS } = await import('@tributary/cloud-processor')
  const id = randomBytes(4).toString('hex')
  // A device may stand at another site than its gateway's: each partition hears of it.
  const answers = await ask(ALL_PARTITIONS, { action: 'silence', id, match, forMs: Math.round(options.for) }, options)
  const said = summary(answers, ALL_PARTITIONS.length)
  if (options.json) printJson({ id, ...said })
  const again = `asking again makes a second silence; \`tributary alert silence end ${id}\` takes this one back`
  say(`silence ${id} for ${age(options.for)}`, said, options.json, again)
}

async function listSilences(options: AskingOptions): Promise<void> {
  const { silences, moreSilences, unanswered } = await lookAtAlerts(options)
  if (options.json) printJson({ silences, more: moreSilences, unanswered })
  else {
    if (silences.length === 0) print('no silence is in force')
    else print(table(['id', 'left', 'what', 'by', 'comment'], silences.map(silenceRow)))
    if (moreSilences > 0) print(`and ${count(moreSilences)} more`)
    sayUnanswered(unanswered)
  }
}

const silenceRow = ({ id, until, match, by, comment }: ListedSilence) => [
  id,
  age(Date.parse(until) - systemClock.wallMs()),
  Object.entries(match)
    .map(([key, names]) => `${key}=${names?.join(',')}`)
    .join(' '),
  by,
  brief(comment),
]

async function endSilence(id: string, options: SayingOptions): Promise<void> {
  const { ALL_PARTITIONS } = await import('@tributary/cloud-processor')
  if (!/^[0-9a-f]{8,16}$/.test(id))
    throw new UserError(`no silence is ${plain(id)}`, { hint: '`tributary alert silence list` prints their ids' })
  const answers = await ask(ALL_PARTITIONS, { action: 'end_silence', id }, options)
  const said = summary(answers, ALL_PARTITIONS.length)
  if (options.json) printJson(said)
  say(`the end of silence ${id}`, said, options.json)
}

async function testOne(receiver: string, options: AskingOptions): Promise<void> {
  const { testReceiver } = await import('@tributary/cloud-processor')
  const answer = await withOperators(options, (connection) => testReceiver(connection, receiver))
  if (options.json) printJson(answer)
  if (!answer.isKnown)
    throw new UserError(`${answer.processor} has no receiver ${plain(receiver)}`, {
      hint: `its receivers are ${answer.receivers.join(', ') || 'none: see notifiers in its config'}`,
    })
  if (answer.fault !== undefined)
    throw new UserError(`${receiver} did not take it: ${plain(answer.fault)}`, {
      hint: 'correct the notifier in the config of the processor, or the receiver',
    })
  if (!options.json)
    print(`${receiver} took it after ${count(answer.tookMs)} ms${answer.said ? `: ${brief(answer.said)}` : ''}`)
}
