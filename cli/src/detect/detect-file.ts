/** From a file to scores, summary and picture, in memory that does not grow with the file. */

import { writeFile } from 'node:fs/promises'
import { isAbort, messageOf, systemClock, UserError } from '@tributary/runtime'
import type { DetectOptions } from '../commands/detect.ts'
import { csvCell } from '../export-rows.ts'
import { count, printJson } from '../print.ts'
import { createProgress } from '../progress.ts'
import { openTextOutput, type TextOutput } from '../text-output.ts'
import { collectFindings } from './findings.ts'
import { createSeriesJudge, type Judgement } from './judge-series.ts'
import { decimalsOf } from './number-cell.ts'
import { openInput, refuseOverwriting } from './open-input.ts'
import { createPlotBuckets } from './plot-buckets.ts'
import { plotSvg } from './plot-svg.ts'
import { delimiterNamed, LEFT_OUT, type LeftOut, readSeriesFile, type SeriesFile, type SeriesRow } from './read-rows.ts'
import { alarmsText, judgedBy, sayAssumptions, summarise } from './summary.ts'
import { timeZone, UTC } from './time-zone.ts'

const EXIT_INTERRUPTED = 130
const HEAD = ['timestamp', 'value', 'anomaly_score']
const HEAD_EXPLAINED = [...HEAD, 'expected', 'lower', 'upper', 'component', 'message']

export async function detectFile(path: string, options: DetectOptions): Promise<void> {
  if (judgedBy(options) === '')
    throw new UserError('nothing is left to judge by', {
      hint: 'with --detector none give --above, --below, --min and --max, --flatline, --rate or --counter',
    })
  if ((options.min === undefined) !== (options.max === undefined))
    throw new UserError('--min and --max go together', { hint: 'for one limit alone give --above or --below' })
  await refuseOverwriting(path, options)
  const zone = options.timezone === 'UTC' ? UTC : timeZone(options.timezone)
  const stopping = new AbortController()
  const onSignal = () => stopping.abort(new DOMException('interrupted', 'AbortError'))
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const startedMs = systemClock.monotonicMs()
  const collector = collectFindings(options.threshold)
  const plot = options.plot === undefined ? undefined : createPlotBuckets()
  const input = await openInput(path, stopping.signal)
  const shown = createProgress(process.stderr, systemClock)
  let file: SeriesFile | undefined
  let output: TextOutput | undefined
  try {
    file = await readSeriesFile(input.chunks, {
      timestampColumn: options.timestampColumn,
      valueColumn: options.valueColumn,
      delimiter: options.delimiter === undefined ? undefined : delimiterNamed(options.delimiter),
      intervalMs: options.interval,
      zone,
      timeUnit: options.timeUnit,
      dayFirst: options.dayFirst,
    })
    const judge = createSeriesJudge({ ...options, label: file.columns.label, intervalMs: options.interval })
    const explain = options.explain === true
    if (options.output !== undefined || !options.json)
      output = await openTextOutput(options.output, { overwrite: true, signal: stopping.signal })
    await output?.write(`${(explain ? HEAD_EXPLAINED : HEAD).join(',')}\n`)
    for await (const rows of file.rows) {
      let text = ''
      for (const row of rows) {
        const { timeMs, number, leftOut } = row
        if (leftOut !== undefined) {
          collector.leftOut(row, leftOut)
          text += unjudgedLine(row, leftOut, explain)
          continue
        }
        const judgement = judge.judge(timeMs, number, decimalsOf(row.value))
        const alarm = collector.judged(row, judgement)
        if (output) text += scoredLine(row, judgement, explain)
        const { score, lower, upper } = judgement
        plot?.add({ timeMs, value: number, score, lower, upper, alarm, message: alarm ? judgement.message() : '' })
      }
      await output?.write(text)
      shown.say(
        () => `${input.share()}${count(collector.findings.rows)} rows, ${count(collector.findings.alarms)} alarms`,
      )
      // A signal is heard between two turns of the event loop.
      await new Promise((resolve) => setImmediate(resolve))
      stopping.signal.throwIfAborted()
    }
  } catch (error) {
    if (!stopping.signal.aborted || !isAbort(error)) throw error
  } finally {
    shown.done()
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
  await output?.close()
  const { findings } = collector
  const interrupted = stopping.signal.aborted
  if (options.plot !== undefined && plot !== undefined && file !== undefined) {
    const svg = plotSvg(plot.filled(), {
      title: `${input.name}: ${file.columns.label}`,
      subtitle: `${count(findings.judged)} rows judged by ${judgedBy(options)}; ${alarmsText(findings)} at ${options.threshold} or above`,
      value: options.unit === '' ? file.columns.label : `${file.columns.label} (${options.unit})`,
      threshold: options.threshold,
      zone: file.columns.time === undefined || file.assumed.unit === 'row' ? undefined : zone,
    })
    await writeFile(options.plot, svg).catch((cause) => {
      throw new UserError(`${options.plot} cannot be written: ${messageOf(cause)}`, {
        cause,
        hint: 'give another --plot',
      })
    })
  }
  const seconds = Math.round(systemClock.monotonicMs() - startedMs) / 1_000
  if (file !== undefined) sayAssumptions(file, options)
  if (options.json)
    printJson({
      file: input.name,
      timestampColumn: file?.columns.timeLabel ?? null,
      column: file?.columns.label,
      assumed: file?.assumed,
      detector: options.detector,
      threshold: options.threshold,
      ...findings,
      seconds,
      interrupted,
    })
  else summarise(findings, file, options, seconds, interrupted)
  // What a reader that has stopped does not take would keep us.
  if (interrupted) process.exit(EXIT_INTERRUPTED)
}

/** The score is 0, as files of scores are read by programs that know numbers alone. */
function unjudgedLine({ timestamp, value }: SeriesRow, reason: LeftOut, explain: boolean): string {
  const scored = `${csvCell(timestamp)},${csvCell(value)},0`
  return explain ? `${scored},,,,not_judged,${LEFT_OUT[reason]}\n` : `${scored}\n`
}

function scoredLine({ timestamp, value }: SeriesRow, judgement: Judgement, explain: boolean): string {
  const scored = `${csvCell(timestamp)},${csvCell(value)},${Number(judgement.score.toFixed(6))}`
  if (!explain) return `${scored}\n`
  const { expected, lower, upper, component } = judgement
  const number = (one: number | undefined) => (one === undefined ? '' : Number(one.toPrecision(9)))
  return `${scored},${number(expected)},${number(lower)},${number(upper)},${component},${csvCell(judgement.message())}\n`
}
