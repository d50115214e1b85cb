/** What is said of a run on standard error: what was taken for granted, what was judged and what not, the alarms. */
import type { DetectOptions } from '../commands/detect.ts'
import { brief, count, plain } from '../print.ts'
import { type Findings, highestAlarms, leftOutLines } from './findings.ts'
import type { SeriesFile } from './read-rows.ts'

const ALARMS_SHOWN = 10
const UNIT_NAMES = { s: 'seconds', ms: 'milliseconds', us: 'microseconds', ns: 'nanoseconds' } as const

const say = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

/** Those that were asked for; the learned one first. */
export function judgedBy({
  detector,
  above,
  below,
  min,
  max,
  flatline,
  rate,
  counter,
}: Omit<DetectOptions, 'threshold'>): string {
  const asked = [
    detector === 'none' ? '' : detector,
    above === undefined ? '' : `above ${above}`,
    below === undefined ? '' : `below ${below}`,
    min === undefined ? '' : `range ${min} to ${max}`,
    flatline === undefined ? '' : 'flatline',
    rate === undefined ? '' : `rate ${rate}`,
    counter === undefined ? '' : 'counter',
  ]
  return asked.filter((part) => part !== '').join(', ')
}

export const alarmsText = ({ alarms }: Findings): string => (alarms === 1 ? '1 alarm' : `${count(alarms)} alarms`)

export function sayAssumptions({ assumed, columns }: SeriesFile, options: DetectOptions): void {
  const { zone, unit, order, intervalMs } = assumed
  if (zone !== undefined && options.timezone === 'UTC')
    say('times without a zone are taken as UTC; --timezone says another')
  if (order !== undefined && options.dayFirst === undefined)
    say(`dates with slashes are taken as ${order}${order.startsWith('d') ? '' : '; --day-first says another'}`)
  if (unit === 'row' && options.timeUnit === undefined)
    say(`"${plain(columns.timeLabel ?? '')}" numbers the rows; --time-unit s says that it counts seconds`)
  else if (unit !== undefined && unit !== 'row' && options.timeUnit === undefined)
    say(`times are taken as ${UNIT_NAMES[unit]} since 1970; --time-unit says another`)
  if (intervalMs !== undefined)
    say(
      `${columns.time === undefined ? 'no column of times: ' : ''}rows are taken as ${intervalMs / 1_000} s apart; --interval says another`,
    )
}

export function summarise(
  findings: Findings,
  file: SeriesFile | undefined,
  options: DetectOptions,
  seconds: number,
  interrupted: boolean,
): void {
  const { rows, judged, highest, alarms, alarmList, leftOut } = findings
  say(
    `${interrupted ? 'interrupted after ' : ''}${count(rows)} rows of "${plain(file?.columns.label ?? '')}", ${count(judged)} judged by ${judgedBy(options)}, in ${seconds.toFixed(1)} s`,
  )
  for (const line of leftOutLines(findings)) say(`left out: ${line}`)
  if (2 * (leftOut.out_of_order?.rows ?? 0) > rows)
    say('→ a series is judged in order of time: sort the rows by time, and leave one series in the file')
  say(`${alarmsText(findings)} at ${options.threshold} or above`)
  for (const { from, to, score, message } of highestAlarms(alarmList, ALARMS_SHOWN))
    say(`  ${brief(from)}${to === from ? '' : ` to ${brief(to)}`}  score ${score.toFixed(2)}  ${plain(message)}`)
  if (alarms > ALARMS_SHOWN) say(`  and ${count(alarms - ALARMS_SHOWN)} more with lower scores`)
  if (highest !== undefined && highest.score < options.threshold)
    say(`highest score ${highest.score.toFixed(2)} at ${brief(highest.timestamp)}`)
  for (const path of [options.output, options.plot]) if (path !== undefined) say(`→ ${path}`)
}
