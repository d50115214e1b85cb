/**
 * `tributary demo` (what `npm start` runs): the whole pipeline on this machine with simulated hardware, a live view of its figures,
 * and at the end the account, value by value.
 */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { loadScenario } from '@tributary/firmware-sim'
import { systemClock, UserError } from '@tributary/runtime'
import {
  type Account,
  createAlertReceiver,
  createLatencyObserver,
  createLiveFigures,
  createPipeline,
  type LiveFigures,
  type Pipeline,
  readRefusedReadings,
  repositoryFolder,
  settle,
  settleWindows,
  shortfalls,
  takeAccount,
  takeDetection,
  takeNotifications,
  type WindowCheck,
} from '@tributary/stack'
import { Command } from 'commander'
import { anomalyText } from '../anomaly-report.ts'
import { createLiveView } from '../live-view.ts'
import { duration, port, wholeNumber } from '../option-values.ts'
import { count, print, table } from '../print.ts'

interface DemoOptions {
  for?: number
  report?: string
  seed: number
  scenario: string
  rate?: number
  dataDir?: string
  viewerPort: number
}

const SETTLE_MS_MAX = 60_000
/** A window that readings made dirty again and again is recomputed once a minute. */
const WINDOWS_MS_MAX = 120_000
const WRONG_SHOWN = 12
const DEVICE_KINDS = ['climate', 'vibration', 'power', 'tank']

export function demoCommand(): Command {
  return new Command('demo')
    .description('run the whole pipeline on this machine with simulated devices; Ctrl-C prints the account')
    .option('--for <duration>', 'stop by itself after this long, such as 90s or 10m', duration)
    .option('--report <file>', 'write the result as JSON')
    .option('--seed <n>', 'seed of the simulated values and faults', wholeNumber, 1)
    .option(
      '--scenario <file>',
      'what the devices do and suffer: a YAML file, or demo, anomalies, late, steady or mqtt-only',
      'demo',
    )
    .option('--rate <n>', 'readings a second of all devices together (default: as the scenario says)', wholeNumber)
    .option(
      '--data-dir <folder>',
      'where everything is written; must be empty (default: .tributary/demo, emptied at each start)',
    )
    .option('--viewer-port <port>', 'port of the dashboards (0: a free one)', port, 3001)
    .addHelpText(
      'after',
      `
The report: {ledger: {produced, stored, deadLettered, shed, inFlight, missing, duplicates, wrong, lostAtDevice}, latencyMs: {p50, p99},
windows, windowsChecked, windowsByWidth, windowsWrong, windowsOpen, anomalies, alerts, detection, notifications, shortfalls, seed,
seconds, versions, urls}. "produced" is what the simulator
measured; "stored", "missing", "duplicates" and "wrong" come from comparing every value in InfluxDB with it, "windowsWrong" from computing
every window that ended before the devices stopped ("windowsChecked") anew from what they measured. "windowsOpen" had not ended.
"detection" compares anomalies that the simulator labelled with what detectors said: {byKind: {labelled, recalled, recall}, recall,
falseAlarms, calmDeviceSeconds, calmDeviceDays (at 1 Hz), falseAlarmsPerDeviceDay, missed}; null without labels. "notifications" are those of
what fired until the devices were stopped, as a webhook's receiver counted them: {episodes, firing, resolved, open, repeats, mistakes}. "shortfalls" says what of a scenario's "expect" does not hold.
Exit code 0 when missing, duplicates and windowsWrong are 0 and there are no shortfalls, else 1.`,
    )
    .action(runDemo)
}

async function runDemo(options: DemoOptions): Promise<void> {
  const { expect: expected } = await loadScenario(scenarioFile(options.scenario))
  const dataFolder = await prepareFolder(options.dataDir)
  const say = (text: string) => process.stderr.write(`${text}\n`)
  const hurry = new AbortController()
  const stopRequested = new AbortController()
  const onSignal = () => {
    if (stopRequested.signal.aborted) hurry.abort(new UserError('interrupted twice: stopped without an account'))
    else stopRequested.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)

  const view = createLiveView(process.stdout)
  let isOver = false
  const alerts = createAlertReceiver((alert) => {
    if (!isOver) view.event(alertLine(alert.payload))
  })
  const startedAtMs = systemClock.monotonicMs()
  const observing = new AbortController()
  let pipeline: Pipeline | undefined
  try {
    await alerts.start()
    pipeline = await createPipeline({
      dataFolder,
      scenarioFile: scenarioFile(options.scenario),
      seed: options.seed,
      ratePerSecond: options.rate,
      viewerPort: options.viewerPort,
      alertWebhookUrl: alerts.url,
      say,
      onOutage: (text) => view.event(text),
    })
    say(`Starting ${pipeline.processes.map((p) => p.name).join(', ')} …`)
    await pipeline.start(AbortSignal.any([stopRequested.signal, hurry.signal]))
    sayWhere(pipeline, say)
    const latency = createLatencyObserver(pipeline.query, DEVICE_KINDS, systemClock)
    const observer = latency.run(observing.signal)
    const figures = createLiveFigures(pipeline, latency, () => systemClock.monotonicMs())
    await showUntil(figures, view, options.for, stopRequested.signal)
    view.stop()

    say('\nStopping the devices and waiting for what is under way …')
    const stoppedMs = systemClock.wallMs()
    await settle(pipeline, { timeoutMs: SETTLE_MS_MAX, signal: hurry.signal, say })
    // From here on the devices are silent because we stopped them.
    const alertsFired = alerts.received.filter(({ payload }) => payload.state === 'firing').length
    isOver = true
    observing.abort()
    await observer
    say('Comparing every value in InfluxDB with what the devices measured …')
    const refused = await readRefusedReadings(pipeline.urls.nats)
    const account = await takeAccount(pipeline, hurry.signal, refused)
    say('Computing every window anew from what the devices measured …')
    const windows = await settleWindows(pipeline, refused, { timeoutMs: WINDOWS_MS_MAX, signal: hurry.signal, say })
    const check = { mayRepeat: false, untilMs: stoppedMs, signal: hurry.signal }
    const notifications = await takeNotifications(pipeline, alerts, check)
    const detection = await takeDetection(pipeline, hurry.signal)
    const report = {
      ledger: account.ledger,
      latencyMs: { p50: latency.quantile(0.5) ?? null, p99: latency.quantile(0.99) ?? null },
      windows: account.windows,
      windowsChecked: windows.checked,
      windowsByWidth: windows.byWidth,
      windowsWrong: windows.wrong.length,
      windowsOpen: windows.open,
      anomalies: account.anomalies,
      alerts: alertsFired,
      detection: detection ?? null,
      notifications,
      shortfalls: shortfalls(expected, detection, notifications),
      seed: options.seed,
      seconds: Math.round((systemClock.monotonicMs() - startedAtMs) / 1000),
      versions: pipeline.versions,
      urls: pipeline.urls,
    }
    if (options.report) await writeFile(options.report, `${JSON.stringify(report, null, 2)}\n`)
    printReport(report, account, windows)
    if (detection) print(`\n${anomalyText(detection, notifications)}`)
    for (const shortfall of report.shortfalls) print(`NOT as expected: ${shortfall}`)
    const isWell =
      account.ledger.missing + account.ledger.duplicates + report.windowsWrong + report.shortfalls.length === 0
    process.exitCode = isWell ? 0 : 1
  } catch (error) {
    if (!stopRequested.signal.aborted || error instanceof UserError) throw error
    say('Stopped while starting.')
  } finally {
    view.stop()
    observing.abort()
    say('Stopping the pipeline …')
    await pipeline?.stop()
    await alerts.stop()
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }
}

/** One of ours by its name, or a path. */
const scenarioFile = (given: string): string => (/^[a-z][a-z0-9-]*$/.test(given) ? given : resolve(given))

async function prepareFolder(given: string | undefined): Promise<string> {
  if (given === undefined) {
    const folder = join(repositoryFolder, '.tributary', 'demo')
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { recursive: true })
    return folder
  }
  const folder = resolve(given)
  await mkdir(folder, { recursive: true })
  if ((await readdir(folder)).length > 0)
    throw new UserError(`${folder} is not empty`, {
      hint: 'give a new folder with --data-dir; nothing is deleted for you',
    })
  return folder
}

function sayWhere(pipeline: Pipeline, say: (text: string) => void): void {
  const versions = Object.entries(pipeline.versions).map(([name, version]) => `${name} ${version}`)
  say(`Running: ${versions.join(', ')}`)
  say(`Dashboards  ${pipeline.urls.viewer}`)
  say(`InfluxDB    ${pipeline.urls.influx} (database tributary)`)
  say(`Account     npx tributary ledger --processor ${pipeline.urls.processor}`)
  say(`Refused     npx tributary dlq list --nats ${pipeline.urls.nats}`)
  say('Ctrl-C stops it and prints the account.\n')
}

async function showUntil(
  figures: () => Promise<LiveFigures>,
  view: ReturnType<typeof createLiveView>,
  forMs: number | undefined,
  stop: AbortSignal,
): Promise<void> {
  const untilMs = systemClock.monotonicMs() + (forMs ?? Number.POSITIVE_INFINITY)
  while (!stop.aborted && systemClock.monotonicMs() < untilMs) {
    view.show(await figures())
    await systemClock
      .sleep(Math.min(1_000, Math.max(0, untilMs - systemClock.monotonicMs())), stop)
      .catch(() => undefined)
  }
}

const alertLine = (t: { state: string; severity: string; device: string; message: string; rule: string }): string =>
  `alert ${t.state} (${t.severity}) ${t.device}: ${t.message || t.rule}`

function printReport(
  report: {
    latencyMs: { p50: number | null; p99: number | null }
    windows: number
    anomalies: number
    alerts: number
    seconds: number
  },
  account: Account,
  windows: WindowCheck,
): void {
  const { ledger } = account
  print(`\nThe account after ${report.seconds} s\n`)
  print(
    table(
      ['produced', 'stored', 'dead-lettered', 'shed', 'in flight', 'missing', 'duplicates', 'wrong'],
      [
        [
          ledger.produced,
          ledger.stored,
          ledger.deadLettered,
          ledger.shed,
          ledger.inFlight,
          ledger.missing,
          ledger.duplicates,
          ledger.wrong,
        ],
      ],
    ),
  )
  if (ledger.lostAtDevice > 0)
    print(`\n${count(ledger.lostAtDevice)} readings never left their device; the simulator's ledger says why.`)
  for (const example of account.examples) print(`  ${example}`)
  const ms = (value: number | null) => (value === null ? '–' : `${Math.round(value)} ms`)
  print(
    `\nmeasured to queryable: p50 ${ms(report.latencyMs.p50)}, p99 ${ms(report.latencyMs.p99)} · ${count(report.windows)} windows · ${count(report.anomalies)} anomalies · ${count(report.alerts)} alerts delivered`,
  )
  const widths = Object.entries(windows.byWidth).map(([width, checked]) => `${width} ${count(checked)}`)
  print(
    `windows compared with what was measured: ${count(windows.checked)} (${widths.join(', ') || 'none had ended'}), of them wrong: ${count(windows.wrong.length)} (${count(windows.open)} more had not ended)`,
  )
  for (const wrong of windows.wrong.slice(0, WRONG_SHOWN)) print(`  ${wrong}`)
  print(
    ledger.missing === 0 && ledger.duplicates === 0
      ? 'Every reading is accounted for.'
      : 'NOT every reading is accounted for.',
  )
}
