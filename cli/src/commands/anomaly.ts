/** `tributary anomaly`: what detectors noticed last, and whether that was one. */
import type { ListedAnomaly } from '@tributary/cloud-processor'
import { UserError } from '@tributary/runtime'
import { Command } from 'commander'
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
  withSaying,
} from '../operator-requests.ts'
import { wholeNumber } from '../option-values.ts'
import { brief, print, printJson, table } from '../print.ts'

export function anomalyCommand(): Command {
  return new Command('anomaly')
    .description('what detectors noticed last; say whether it was an anomaly, and they learn from it')
    .addCommand(
      withAsking(new Command('list').description('the last anomalies of all partitions, the newest first'))
        .option('--site <name>', 'of this site alone')
        .option('--device <name>', 'of this device alone')
        .option('--detector <name>', 'of this detector alone')
        .option('--limit <n>', 'at most so many', wholeNumber, 50)
        .option('--json', 'print {anomalies: […], unanswered: [partition]}')
        .action(list),
    )
    .addCommand(
      feedback('confirm', 'it was an anomaly: the detector becomes more sensitive for this series, within bounds'),
    )
    .addCommand(feedback('dismiss', 'it was none: the detector becomes less sensitive for this series, within bounds'))
}

const feedback = (action: 'confirm' | 'dismiss', description: string): Command =>
  withSaying(
    new Command(action)
      .description(description)
      .argument('<ids...>', 'as `anomaly list` prints them; only learned detectors (outlier, peers, together) take it'),
  )
    .option('--json', 'print [{anomaly, outcome, detail, unanswered}]')
    .action((ids: string[], options: SayingOptions) => judge(action, ids, options))

interface ListOptions extends AskingOptions {
  readonly site?: string
  readonly device?: string
  readonly detector?: string
  readonly limit: number
}

async function list(options: ListOptions): Promise<void> {
  const { anomalies, unanswered } = await lookAtAlerts(options)
  const shown = anomalies
    .filter((one) => (['site', 'device', 'detector'] as const).every((key) => (options[key] ?? one[key]) === one[key]))
    .sort((a, b) => b.at.localeCompare(a.at))
    .slice(0, options.limit)
  if (options.json) printJson({ anomalies: shown, unanswered })
  else {
    if (shown.length === 0) print('no anomaly is known')
    else print(table(['id', 'at', 'site', 'device', 'detector', 'component', 'score', 'message', ''], shown.map(row)))
    sayUnanswered(unanswered)
  }
}

const row = ({ id, at, site, device, detector, component, score, message, feedback: said }: ListedAnomaly) => [
  id,
  at,
  site,
  device,
  detector,
  component,
  score.toFixed(2),
  brief(message),
  said ? `${said.what} by ${said.by}` : '',
]

async function judge(action: 'confirm' | 'dismiss', ids: readonly string[], options: SayingOptions): Promise<void> {
  const { anomalies, unanswered } = await lookAtAlerts(options)
  const outcomes: (Said & { anomaly: string })[] = []
  for (const id of ids) {
    const found = anomalies.find((one) => one.id === id)
    if (found === undefined)
      throw new UserError(`no anomaly is ${id} (any more)`, {
        hint:
          unanswered.length > 0
            ? `no processor answered for partitions ${unanswered.join(', ')}: it may be there`
            : 'a partition keeps its last hundred; `tributary anomaly list` prints them',
      })
    const said = summary(await ask([found.partition], { action, anomaly: id }, options), 1)
    outcomes.push({ anomaly: id, ...said })
    say(`${found.device} ${found.field} ${found.detector} (${id})`, said, options.json)
  }
  if (options.json) printJson(outcomes)
}
