/** The figures of a running pipeline: redrawn in place on a terminal, a plain line every five seconds elsewhere. */
import type { LiveFigures } from '@tributary/stack'
import { count, table } from './print.ts'

export interface LiveView {
  show(figures: LiveFigures): void
  /** A line that stays. */
  event(text: string): void
  stop(): void
}

const PLAIN_EVERY = 5
const EVENTS_SHOWN = 6

export function createLiveView(out: { isTTY?: boolean; write(text: string): unknown }): LiveView {
  let shown = 0
  let drawnLines = 0
  let stopped = false
  const events: string[] = []
  const ms = (value: number | undefined) => (value === undefined ? '–' : `${Math.round(value)} ms`)

  const draw = (figures: LiveFigures) => {
    const text = table(
      ['readings/s', 'produced', 'stored', 'dead-lettered', 'shed', 'in flight', 'p50', 'p99', 'open alerts'],
      [
        [
          Math.round(figures.readingsPerSecond),
          figures.produced,
          figures.stored,
          figures.deadLettered,
          figures.shed,
          figures.inFlight,
          ms(figures.p50Ms),
          ms(figures.p99Ms),
          figures.openAlerts,
        ],
      ],
    )
    const lines = [
      ...text.split('\n'),
      ...(figures.down.length > 0 ? [`not running: ${figures.down.join(', ')}`] : []),
      ...events.slice(-EVENTS_SHOWN),
    ]
    // up over what was drawn, then each line cleared to its end, then what is left below
    out.write(`${drawnLines > 0 ? `\x1b[${drawnLines}A` : ''}${lines.map((line) => `${line}\x1b[K\n`).join('')}\x1b[J`)
    drawnLines = lines.length
  }
  const plain = (f: LiveFigures) =>
    out.write(
      `${count(Math.round(f.readingsPerSecond))} readings/s, produced ${count(f.produced)}, stored ${count(f.stored)}, dead-lettered ${count(f.deadLettered)}, shed ${count(f.shed)}, in flight ${count(f.inFlight)}, p50 ${ms(f.p50Ms)}, p99 ${ms(f.p99Ms)}, open alerts ${f.openAlerts}${f.down.length > 0 ? `, NOT RUNNING: ${f.down.join(', ')}` : ''}\n`,
    )
  return {
    show(figures) {
      if (stopped) return
      if (out.isTTY) draw(figures)
      else if (shown % PLAIN_EVERY === 0) plain(figures)
      shown += 1
    },
    event(text) {
      if (stopped || !out.isTTY) out.write(`${text}\n`)
      else events.push(text)
      if (events.length > 100) events.shift()
    },
    stop() {
      stopped = true
    },
  }
}
