/** The picture of `tributary detect --plot`: the series with the expected band, the score below it, alarms marked. For light and dark pages. */
import { sayTime } from '@tributary/cloud-processor'
import { elapsedMarks, type Mark, numberMarks, timeMarks } from './plot-axis.ts'
import type { Bucket } from './plot-buckets.ts'
import type { TimeZone } from './time-zone.ts'

export interface PlotLabels {
  readonly title: string
  readonly subtitle: string
  /** Of the upper axis, such as "Temperature (°C)". */
  readonly value: string
  readonly threshold: number
  /** Undefined: times are counted from the first row. */
  readonly zone: TimeZone | undefined
}

const WIDTH = 1_200
const HEIGHT = 560
const LEFT = 84
const RIGHT = 24
const SERIES = { top: 84, bottom: 370 }
const SCORE = { top: 400, bottom: 490 }
/** Above what vanishes in arithmetic. */
const ROOM_MIN = 1e-300
const TITLE_CHARACTERS = 110

const STYLE = `
  svg { --page: #ffffff; --ink: #1f2328; --faint: #6a737d; --grid: #e4e7eb; --line: #0969da; --band: #0969da; --score: #8250df; --alarm: #d1242f; }
  @media (prefers-color-scheme: dark) {
    svg { --page: #14171c; --ink: #e6e9ee; --faint: #9aa4b0; --grid: #2c323a; --line: #6cb6ff; --band: #6cb6ff; --score: #b392f0; --alarm: #ff6b6b; }
  }
  text { font: 13px system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: var(--faint); }
  .page { fill: var(--page); }
  .title { font-size: 18px; font-weight: 600; fill: var(--ink); }
  .name { fill: var(--ink); }
  .grid { stroke: var(--grid); stroke-width: 1; }
  .series { fill: none; stroke: var(--line); stroke-width: 1.3; stroke-linejoin: round; }
  .dot { fill: var(--line); }
  .band { fill: var(--band); fill-opacity: 0.16; }
  .score { fill: var(--score); fill-opacity: 0.85; }
  .threshold { stroke: var(--alarm); stroke-width: 1; stroke-dasharray: 5 4; }
  .alarm-time { stroke: var(--alarm); stroke-width: 1; stroke-opacity: 0.35; }
  .alarm { fill: var(--alarm); stroke: var(--page); stroke-width: 1.5; }
`

/** @param buckets in order of time */
export function plotSvg(buckets: readonly Bucket[], labels: PlotLabels): string {
  const fromMs = buckets[0]?.fromMs ?? 0
  const toMs = Math.max(buckets.at(-1)?.toMs ?? 0, fromMs + 1e-3)
  const low = buckets.reduce((least, { min }) => Math.min(least, min), Number.POSITIVE_INFINITY)
  const high = buckets.reduce((most, { max }) => Math.max(most, max), Number.NEGATIVE_INFINITY)
  const room = Math.max(ROOM_MIN, high > low ? 0.08 * (high - low) : 0.1 * Math.abs(low || 1))
  const [bottom, top] = buckets.length === 0 ? [0, 1] : [low - room, high + room]
  const x = (timeMs: number) => LEFT + ((timeMs - fromMs) / (toMs - fromMs)) * (WIDTH - LEFT - RIGHT)
  // What lies far outside of the frame is cut off there.
  const share = (value: number) => Math.min(2, Math.max(-1, (value - bottom) / (top - bottom)))
  const y = (value: number) => SERIES.bottom - share(value) * (SERIES.bottom - SERIES.top)
  const yScore = (score: number) => SCORE.bottom - score * (SCORE.bottom - SCORE.top)
  const at = (timeMs: number, valueY: number) => `${round(x(timeMs))},${round(valueY)}`

  const times = labels.zone === undefined ? elapsedMarks(toMs - fromMs, 9) : timeMarks(fromMs, toMs, 9, labels.zone)
  const alarms = buckets.filter(({ alarm }) => alarm !== undefined)
  const zoneName = labels.zone === undefined ? 'since the first row' : labels.zone.name
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">
<title>${forXml(labels.title)}</title>
<desc>${forXml(labels.subtitle)}</desc>
<style>${STYLE}</style>
<rect class="page" width="${WIDTH}" height="${HEIGHT}"/>
<clipPath id="frame"><rect x="${LEFT}" y="${SERIES.top}" width="${WIDTH - LEFT - RIGHT}" height="${SERIES.bottom - SERIES.top}"/></clipPath>
<text class="title" x="${LEFT}" y="32">${forXml(brief(labels.title))}</text>
<text x="${LEFT}" y="54">${forXml(brief(labels.subtitle))}</text>
${legend()}
${horizontals(numberMarks(bottom, top, 6), y)}
${horizontals(
  [
    { at: 0, text: '0' },
    { at: 1, text: '1' },
  ],
  yScore,
)}
${times.map((mark) => vertical(mark, labels.zone === undefined ? fromMs : 0)).join('\n')}
<text class="name" x="${LEFT}" y="${SERIES.top - 8}">${forXml(brief(labels.value))}</text>
<text class="name" x="${LEFT}" y="${SCORE.top - 8}">anomaly score</text>
<text x="${WIDTH - RIGHT}" y="${HEIGHT - 10}" text-anchor="end">${forXml(zoneName)}</text>
${alarms.map(({ alarm }) => `<line class="alarm-time" x1="${round(x(alarm?.timeMs ?? 0))}" y1="${SERIES.top}" x2="${round(x(alarm?.timeMs ?? 0))}" y2="${SCORE.bottom}"/>`).join('\n')}
<g clip-path="url(#frame)">
${runsOf(buckets.filter(({ banded }) => banded > 0))
  .map(band)
  .join('\n')}
${runsOf(buckets).map(line).join('\n')}
</g>
<path class="score" d="${runsOf(buckets).map(scoreArea).join(' ')}"/>
<line class="threshold" x1="${LEFT}" y1="${round(yScore(labels.threshold))}" x2="${WIDTH - RIGHT}" y2="${round(yScore(labels.threshold))}"/>
<text x="${LEFT - 8}" y="${round(yScore(labels.threshold) + 4)}" text-anchor="end">${labels.threshold > 0.12 && labels.threshold < 0.88 ? labels.threshold : ''}</text>
${alarms.map(alarmMark).join('\n')}
</svg>
`

  function band(run: readonly Bucket[]): string {
    const middle = ({ fromMs: from, toMs: to }: Bucket) => (from + to) / 2
    const over = run.map((one) => at(middle(one), y(one.upper / one.banded)))
    const under = run.map((one) => at(middle(one), y(one.lower / one.banded))).reverse()
    return `<polygon class="band" points="${[...over, ...under].join(' ')}"/>`
  }
  /** From the first value of each slice over its lowest and highest to its last: no spike is lost. */
  function line(run: readonly Bucket[]): string {
    const points = run.flatMap(({ fromMs: from, toMs: to, first, last, min, max }) => {
      const middle = (from + to) / 2
      const turns = last >= first ? [min, max] : [max, min]
      return from === to
        ? [at(from, y(first))]
        : [at(from, y(first)), ...turns.map((v) => at(middle, y(v))), at(to, y(last))]
    })
    return points.length === 1
      ? `<circle class="dot" cx="${points[0]?.split(',')[0]}" cy="${points[0]?.split(',')[1]}" r="1.5"/>`
      : `<polyline class="series" points="${points.join(' ')}"/>`
  }
  function scoreArea(run: readonly Bucket[]): string {
    return run
      .filter(({ score }) => score > 0)
      .map(({ fromMs: from, toMs: to, score }) => {
        const left = x((from + to) / 2) - 0.6
        return `M${round(left)} ${SCORE.bottom}V${round(yScore(score))}h1.2V${SCORE.bottom}z`
      })
      .join('')
  }
  function alarmMark({ alarm }: Bucket): string {
    if (alarm === undefined) return ''
    const when = labels.zone === undefined ? '' : `${sayTime(alarm.timeMs)} · `
    const said = `${when}score ${alarm.score.toFixed(2)}${alarm.message === '' ? '' : ` · ${alarm.message}`}`
    return `<circle class="alarm" cx="${round(x(alarm.timeMs))}" cy="${round(y(alarm.value))}" r="5"><title>${forXml(said)}</title></circle>`
  }
  function vertical({ at: time, text, below }: Mark, offsetMs: number): string {
    const place = round(x(time + offsetMs))
    return `<line class="grid" x1="${place}" y1="${SERIES.top}" x2="${place}" y2="${SCORE.bottom}"/><text x="${place}" y="${SCORE.bottom + 20}" text-anchor="middle">${forXml(text)}</text>${below ? `<text class="name" x="${place}" y="${SCORE.bottom + 38}" text-anchor="middle">${forXml(below)}</text>` : ''}`
  }
  function horizontals(marks: readonly Mark[], place: (value: number) => number): string {
    return marks
      .map(
        ({ at: value, text }) =>
          `<line class="grid" x1="${LEFT}" y1="${round(place(value))}" x2="${WIDTH - RIGHT}" y2="${round(place(value))}"/><text x="${LEFT - 8}" y="${round(place(value) + 4)}" text-anchor="end">${text}</text>`,
      )
      .join('\n')
  }
  function legend(): string {
    const right = WIDTH - RIGHT
    return `<g><line class="series" x1="${right - 318}" y1="72" x2="${right - 296}" y2="72"/><text x="${right - 290}" y="76">measured</text>
<rect class="band" x="${right - 216}" y="65" width="22" height="13"/><text x="${right - 188}" y="76">expected</text>
<circle class="alarm" cx="${right - 112}" cy="72" r="5"/><text x="${right - 100}" y="76">alarm begins</text></g>`
  }
}

/** Without the gaps between them. */
function runsOf(buckets: readonly Bucket[]): Bucket[][] {
  const runs: Bucket[][] = []
  for (const bucket of buckets) {
    const run = runs.at(-1)
    if (run === undefined || bucket.afterGap) runs.push([bucket])
    else run.push(bucket)
  }
  return runs
}

const round = (pixels: number): string => String(Math.round(pixels * 10) / 10)
const brief = (text: string): string =>
  text.length > TITLE_CHARACTERS ? `${text.slice(0, TITLE_CHARACTERS - 1)}…` : text
// What XML cannot hold is left out.
const forXml = (text: string): string =>
  text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '')
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
