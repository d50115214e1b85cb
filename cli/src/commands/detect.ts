/** `tributary detect`: the detectors of the processor on a series out of a file, before anything is deployed. */
import { isRateLimit, RATE_RULE } from '@tributary/protocol'
import { Command, InvalidArgumentError, Option } from 'commander'
import { LEARNED, type Learned } from '../detect/judge-series.ts'
import { TIME_UNITS, TIMES_THAT_ARE_READ, type TimeUnit } from '../detect/time-cells.ts'
import { duration, wholeNumber } from '../option-values.ts'

export interface DetectOptions {
  readonly timestampColumn?: string
  readonly valueColumn?: string
  readonly detector: Learned
  readonly threshold: number
  readonly above?: number
  readonly below?: number
  readonly hysteresis?: number
  readonly min?: number
  readonly max?: number
  readonly flatline?: number
  readonly rate?: string
  readonly counter?: boolean
  readonly wrapsAt?: number
  readonly explain?: boolean
  readonly output?: string
  readonly plot?: string
  readonly json?: boolean
  readonly interval?: number
  readonly timezone: string
  readonly timeUnit?: TimeUnit
  readonly dayFirst?: boolean
  readonly delimiter?: string
  readonly unit: string
  readonly decimals?: number
}

const HELP = `
Rows come out in the order of the file, all of them; those without a time or value that can be read, and those that are not newer than the row
before, are not judged and have the score 0; --explain names them "not_judged". A detector sees only what came before a row: cutting the file changes no score above the cut.
Times that are read: ${TIMES_THAT_ARE_READ}.
--json prints {file, timestampColumn, column, assumed, detector, threshold, rows, judged, leftOut, alarms, alarmList: [{from, to, rows, score, value, message}], highest, seconds, interrupted}.

  tributary detect pump.csv                                    columns guessed, CSV to standard output
  tributary detect pump.csv --value-column temp --plot out.svg --output out.csv
  zcat log.csv.gz | tributary detect - --explain --output out.csv`

export function detectCommand(): Command {
  return new Command('detect')
    .description(
      'judge a series in a CSV file: timestamp, value and anomaly score (0 to 1) of every row, and a picture',
    )
    .argument('<file>', 'with a column of times and one of values; "-" is standard input')
    .option('--timestamp-column <name>', 'its name or its place from 1; guessed when left out')
    .option('--value-column <name>', 'its name or its place from 1; guessed when only one other column holds numbers')
    .addOption(
      new Option('--detector <name>', 'the learned detector: full, lite, or none of it')
        .choices(LEARNED)
        .default('full'),
    )
    .option('--threshold <score>', 'an alarm begins where the score reaches this', score, 0.5)
    .option('--above <limit>', 'values above are anomalies, too', number)
    .option('--below <limit>', 'values below are anomalies, too', number)
    .option('--hysteresis <size>', 'by which a value must come back within --above or --below', size)
    .option(
      '--flatline <duration>',
      'a value that stays the same for this long is an anomaly, too; such as 10m',
      stretch,
    )
    .option('--min <limit>', 'with --max: values out of this range are anomalies, too', number)
    .option('--max <limit>', 'with --min', number)
    .option('--counter', 'the values only grow: where they fall, and did not wrap, is an anomaly, too')
    .option('--wraps-at <modulus>', 'of a --counter: the value that would follow its highest is 0', number)
    .option('--rate <limit>', 'faster changes are anomalies, too; such as 5/min, +2/s (rising), -0.5/h (falling)', rate)
    .option('--explain', 'also write expected, lower, upper, component and message')
    .option('--output <file>', 'write the rows there, over what it holds; default: standard output')
    .option('--plot <file.svg>', 'draw series, expected band, score and alarms there')
    .option('--json', 'print the summary as JSON; rows are written only with --output')
    .option(
      '--interval <duration>',
      'expected distance of rows, such as 1h; without times, or with numbers of rows, they are this far apart (else 1s)',
      stretch,
    )
    .option('--timezone <name>', 'of times that name none, such as Europe/Berlin', 'UTC')
    .addOption(
      new Option(
        '--time-unit <unit>',
        'of times that are numbers; "row": they number the rows; else told from the first of them',
      ).choices(TIME_UNITS),
    )
    .option('--day-first', 'dates with slashes are day/month/year; else told from the first rows')
    .option('--delimiter <character>', 'between cells: , or ; or tab; guessed when left out')
    .option('--unit <unit>', 'of the values, for sentences and the picture', '')
    .option(
      '--decimals <n>',
      'of the field in its contract: changes of a few last digits are never anomalies',
      decimals,
    )
    .addHelpText('after', HELP)
    .action(async (file: string, options: DetectOptions) => {
      const { detectFile } = await import('../detect/detect-file.ts')
      await detectFile(file, options)
    })
}

function number(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('must be a number.')
  return value
}

function size(text: string): number {
  const value = number(text)
  if (value < 0) throw new InvalidArgumentError('must be 0 or more.')
  return value
}

/** Longer than none. */
function stretch(text: string): number {
  const milliseconds = duration(text)
  if (milliseconds === 0) throw new InvalidArgumentError('must be longer than nothing.')
  return milliseconds
}

function rate(text: string): string {
  if (!isRateLimit(text)) throw new InvalidArgumentError(`${RATE_RULE}.`)
  return text
}

function score(text: string): number {
  const value = number(text)
  if (!(value > 0 && value <= 1)) throw new InvalidArgumentError('must be above 0 and at most 1.')
  return value
}

function decimals(text: string): number {
  const value = wholeNumber(text)
  if (value > 9) throw new InvalidArgumentError('must be 0 to 9.')
  return value
}
