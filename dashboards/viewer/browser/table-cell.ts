/** A cell of a table: text, colour, bar, link. */
import { textColourOn } from '../../src/rendering/colour-scales.ts'
import { colourOf } from '../../src/rendering/colours.ts'
import type { FieldSettings } from '../../src/rendering/dashboard-json.ts'
import { settingsOf, shown, spanOf, valueColour } from '../../src/rendering/field-config.ts'
import type { Field, Table } from '../../src/rendering/frames.ts'
import { rowTexts } from '../../src/rendering/panel-data.ts'
import { localTime } from '../../src/rendering/time-range.ts'
import { isTimeUnit } from '../../src/rendering/units.ts'
import { anchor, element } from './dom.ts'
import { gaugeBar } from './gauge-bar.ts'
import { filledLinks, type PanelInput } from './panel-body.ts'

export interface Column {
  readonly field: Field
  readonly title: string
  readonly settings: FieldSettings
  /** Numbers stand to the right, unless the panel wants them elsewhere. */
  readonly isRight: boolean
  readonly span: readonly [low: number, high: number]
}

const GAUGES = { 'gradient-gauge': 'gradient', 'lcd-gauge': 'lcd', basic: 'basic' } as const

export function columnOf(field: Field, { panel }: PanelInput): Column {
  const settings = settingsOf(panel.fieldConfig, [field.name, field.title])
  const isNumeric =
    !isTimeUnit(settings.unit) && field.values.some((v) => typeof v === 'number') && field.name !== 'Time'
  // A column of times needs no override to be readable.
  const isTime = field.name === 'Time' && !isTimeUnit(settings.unit)
  const { align = 'auto' } = settings.custom ?? {}
  return {
    field,
    title: settings.displayName || field.title,
    settings: isTime ? { ...settings, unit: 'dateTimeAsLocal' } : settings,
    isRight: align === 'right' || (align === 'auto' && isNumeric),
    span: spanOf(settings, field.values),
  }
}

/** @returns the cell, and what it says: as long as that is the same the cell may stay */
export function tableCell(
  table: Table,
  { field, title: heading, settings, isRight, span }: Column,
  row: number,
  input: PanelInput,
): { signature: string; make: () => HTMLTableCellElement } {
  const { nowMs, theme } = input
  const value = field.values[row] ?? null
  const { text, suffix } = shown(value, settings, nowMs)
  const { displayMode = 'auto', align = 'auto', cellOptions } = settings.custom ?? {}
  const colour = displayMode === 'auto' ? undefined : valueColour(value, settings, theme, span)
  const told = () => ({ row: rowTexts(table, row, input.panel, nowMs), value: { raw: value, text: text + suffix } })
  const [link] = settings.links?.length ? filledLinks(settings.links, input, told()) : []
  const title = isTimeUnit(settings.unit) && typeof value === 'number' ? localTime(value) : text + suffix
  const gauge = GAUGES[displayMode as keyof typeof GAUGES]
  const make = () => {
    const content = element('span', {}, text, suffix !== '' && element('small', {}, suffix))
    const words = link ? anchor(link, content) : content
    const about = { className: isRight ? 'number' : '', role: 'cell', title: link ? link.title : title }
    // With little room it stands before the cell.
    const cell = element('td', { ...about, data: { heading } }, words)
    if (cellOptions?.wrapText) cell.classList.add('wrapped')
    if (align === 'center') cell.style.textAlign = 'center'
    if (displayMode === 'color-text' && colour) content.style.color = colour
    if (displayMode.startsWith('color-background') && colour) {
      cell.style.background = colour
      cell.style.color = textColourOn(colour)
      cell.classList.add('filled')
    }
    if (gauge && typeof value === 'number') {
      cell.classList.add('gauge')
      const barColour = colour ?? colourOf('blue', theme)
      cell.prepend(gaugeBar({ value, span, settings, colour: barColour, theme, mode: gauge, showUnfilled: true }))
    }
    return cell
  }
  const place = gauge && typeof value === 'number' ? (value - span[0]) / (span[1] - span[0]) : 0
  return { signature: JSON.stringify([text, suffix, colour, link?.href, title, place, theme]), make }
}
