/** From a file to scores, summary and picture, in memory that does not grow with the file. */

import { createReadStream, open } from 'node:fs'
import { stat, writeFile } from 'node:fs/promises'
import { Socket } from 'node:net'
import { addAbortSignal } from 'node:stream'
import { promisify } from 'node:util'
import { errorCode, isAbort, messageOf, systemClock, UserError } from '@tributary/runtime'
import type { DetectOptions } from '../commands/detect.ts'
import { csvCell } from '../export-rows.ts'
import { brief, bytes, count, printJson } from '../print.ts'
import { createProgress } from '../progress.ts'
import { openTextOutput, type TextOutput } from '../text-output.ts'
import { collectFindings, type Findings, highestAlarms, leftOutLines } from './findings.ts'
import { createSeriesJudge, type Judgement } from './judge-series.ts'
import { decimalsOf } from './number-cell.ts'
import { createPlotBuckets } from './plot-buckets.ts'
import { plotSvg } from './plot-svg.ts'
import { delimiterNamed, readSeriesFile, type SeriesFile, type SeriesRow } from './read-rows.ts'
import { timeZone, UTC } from './time-zone.ts'

const EXIT_INTERRUPTED = 130
const CHUNK_BYTES = 256 * 1024
const ALARMS_SHOWN = 10
const HEAD = ['timestamp', 'value', 'anomaly_score']
const HEAD_EXPLAINED = [...HEAD, 'expected', 'lower', 'upper', 'component', 'message']

const say = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

export async function detectFile(path: string, options: DetectOptions): Promise<void> {
  const { above, below, flatline, rate } = options
  if (options.detector === 'none' && [above, below, flatline, rate].every((one) => one === undefined))
    throw new UserError('nothing is left to judge by', {
      hint: 'with --detector none give --above, --below, --flatline or --rate',
    })
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
    })
    const judge = createSeriesJudge({
      learned: options.detector,
      label: file.columns.label,
      unit: options.unit,
      decimals: options.decimals,
      intervalMs: options.interval,
      above,
      below,
      hysteresis: options.hysteresis,
      flatlineMs: flatline,
      rate,
    })
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
          text += emptyLine(row, explain)
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
      zone: file.columns.time === undefined ? undefined : zone,
    })
    await writeFile(options.plot, svg).catch((cause) => {
      throw new UserError(`${options.plot} cannot be written: ${messageOf(cause)}`, {
        cause,
        hint: 'give another --plot',
      })
    })
  }
  const seconds = Math.round(systemClock.monotonicMs() - startedMs) / 1_000
  if (options.json)
    printJson({
      file: input.name,
      column: file?.columns.label,
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

const emptyLine = ({ timestamp, value }: SeriesRow, explain: boolean): string =>
  `${csvCell(timestamp)},${csvCell(value)},${explain ? ',,,,,' : ''}\n`

function scoredLine({ timestamp, value }: SeriesRow, judgement: Judgement, explain: boolean): string {
  const scored = `${csvCell(timestamp)},${csvCell(value)},${Number(judgement.score.toFixed(6))}`
  if (!explain) return `${scored}\n`
  const { expected, lower, upper, component } = judgement
  const number = (one: number | undefined) => (one === undefined ? '' : Number(one.toPrecision(9)))
  return `${scored},${number(expected)},${number(lower)},${number(upper)},${component},${csvCell(judgement.message())}\n`
}

function judgedBy({ detector, above, below, flatline, rate }: DetectOptions): string {
  const limits = [
    above === undefined ? '' : `above ${above}`,
    below === undefined ? '' : `below ${below}`,
    flatline === undefined ? '' : 'flatline',
    rate === undefined ? '' : `rate ${rate}`,
  ]
  return [detector === 'none' ? '' : detector, ...limits].filter((part) => part !== '').join(', ')
}

const alarmsText = ({ alarms }: Findings): string => (alarms === 1 ? '1 alarm' : `${count(alarms)} alarms`)

function summarise(
  findings: Findings,
  file: SeriesFile | undefined,
  options: DetectOptions,
  seconds: number,
  interrupted: boolean,
): void {
  const { rows, judged, highest, alarms, alarmList } = findings
  const { zone, unit } = file?.assumed ?? {}
  if (zone !== undefined && options.timezone === 'UTC')
    say('times without a zone are taken as UTC; --timezone says another')
  if (unit !== undefined && options.timeUnit === undefined)
    say(
      `times are taken as ${{ s: 'seconds', ms: 'milliseconds', us: 'microseconds', ns: 'nanoseconds' }[unit]} since 1970; --time-unit says another`,
    )
  say(
    `${interrupted ? 'interrupted after ' : ''}${count(rows)} rows of "${file?.columns.label ?? ''}", ${count(judged)} judged by ${judgedBy(options)}, in ${seconds.toFixed(1)} s`,
  )
  for (const line of leftOutLines(findings)) say(`left out: ${line}`)
  say(`${alarmsText(findings)} at ${options.threshold} or above`)
  for (const { from, to, score, message } of highestAlarms(alarmList, ALARMS_SHOWN))
    say(`  ${brief(from)}${to === from ? '' : ` to ${brief(to)}`}  score ${score.toFixed(2)}  ${message}`)
  if (alarms > ALARMS_SHOWN) say(`  and ${count(alarms - ALARMS_SHOWN)} more with lower scores`)
  if (highest !== undefined && highest.score < options.threshold)
    say(`highest score ${highest.score.toFixed(2)} at ${brief(highest.timestamp)}`)
  for (const path of [options.output, options.plot]) if (path !== undefined) say(`→ ${path}`)
}

interface OpenedInput {
  readonly name: string
  readonly chunks: AsyncIterable<Uint8Array>
  /** "45 %  ", or how much was read of what has no known end. */
  share(): string
}

async function openInput(path: string, signal: AbortSignal): Promise<OpenedInput> {
  let read = 0
  const found = path === '-' ? undefined : await stat(path).catch(() => undefined)
  const size = found?.isFile() ? found.size : 0
  const stream =
    path === '-'
      ? process.stdin
      : found?.isFIFO()
        ? await openPipe(path)
        : createReadStream(path, { highWaterMark: CHUNK_BYTES })
  addAbortSignal(signal, stream)
  async function* chunks() {
    try {
      for await (const chunk of stream) {
        read += (chunk as Uint8Array).length
        yield chunk as Uint8Array
      }
    } catch (error) {
      if (isAbort(error)) throw error
      const absent = errorCode(error) === 'ENOENT'
      throw new UserError(absent ? `there is no file ${path}` : `${path} cannot be read: ${messageOf(error)}`, {
        cause: error,
        hint: 'give a CSV file, or - for standard input',
      })
    }
  }
  return {
    name: path === '-' ? 'standard input' : (path.split('/').at(-1) ?? path),
    chunks: chunks(),
    share: () => (size > 0 ? `${Math.floor((100 * read) / size)} %  ` : `${bytes(read)}  `),
  }
}

/** A pipe that is read as a file is cannot be left while it is waited for, not even by the end of the process. */
async function openPipe(path: string): Promise<Socket> {
  return new Socket({ fd: await promisify(open)(path, 'r'), readable: true, writable: false })
}

/** Results written over the file that they are made from would destroy it. */
async function refuseOverwriting(input: string, { output, plot }: DetectOptions): Promise<void> {
  const identity = async (path: string | undefined) => {
    const found = path === undefined || path === '-' ? undefined : await stat(path).catch(() => undefined)
    return found?.isFile() ? `${found.dev}:${found.ino}` : undefined
  }
  const source = await identity(input)
  for (const [option, path] of [
    ['--output', output],
    ['--plot', plot],
  ] as const)
    if (source !== undefined && (await identity(path)) === source)
      throw new UserError(`${option} ${path} is the file that is read`, { hint: 'give another path' })
  if (output !== undefined && output === plot)
    throw new UserError('--output and --plot are the same file', { hint: 'give another path' })
}
