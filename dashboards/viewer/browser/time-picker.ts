import {
  localTime,
  momentMs,
  parseLocalTime,
  QUICK_RANGES,
  type RawRange,
  rangeLabel,
} from '../../src/rendering/time-range.ts'
import type { BrowserClock } from './clock.ts'
import { element } from './dom.ts'
import { popover } from './popover.ts'

export interface TimePicker {
  readonly root: HTMLElement
  show(range: RawRange): void
}

export function timePicker(clock: BrowserClock, onChange: (range: RawRange) => void): TimePicker {
  let shown: RawRange = { from: 'now-15m', to: 'now' }
  const editable = (text: string) => (/^\d+$/.test(text) ? localTime(Number(text)) : text)
  const picker = popover({
    label: '',
    name: 'Time range',
    lead: 'clock',
    fill: (close) => {
      const field = (name: string, value: string) =>
        element('input', { className: 'field', value, spellcheck: false, autocomplete: 'off', aria: { label: name } })
      const from = field('From', editable(shown.from))
      const to = field('To', editable(shown.to))
      const mistake = element('p', { className: 'mistake', role: 'alert' })
      const apply = (event: Event) => {
        event.preventDefault()
        const nowMs = clock.wallMs()
        const range = { from: parseLocalTime(from.value, nowMs), to: parseLocalTime(to.value, nowMs) }
        if (range.from === undefined || range.to === undefined) {
          mistake.textContent = 'Write a time as 2026-01-31 14:05, or as now-2h'
          return
        }
        if ((momentMs(range.from, nowMs) as number) >= (momentMs(range.to, nowMs) as number)) {
          mistake.textContent = 'The beginning must be before the end'
          return
        }
        close()
        onChange({ from: range.from, to: range.to })
      }
      const quick = QUICK_RANGES.map((range) =>
        element(
          'button',
          {
            type: 'button',
            className: 'quick',
            aria: { pressed: String(range.from === shown.from && range.to === shown.to) },
            on: {
              click: () => {
                close()
                onChange({ from: range.from, to: range.to })
              },
            },
          },
          range.label,
        ),
      )
      return element(
        'div',
        { className: 'times' },
        element('div', { className: 'quicks' }, ...quick),
        element(
          'form',
          { on: { submit: apply } },
          element('label', {}, 'From', from),
          element('label', {}, 'To', to),
          mistake,
          element('button', { type: 'submit', className: 'primary' }, 'Apply'),
        ),
      )
    },
  })
  return {
    root: picker.root,
    show(range) {
      shown = range
      picker.setLabel(rangeLabel(range))
    },
  }
}
