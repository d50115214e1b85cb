/** Rows of windows in a checkpoint: what JSON says of them, and their numbers and sketches, packed. */
import { COUNTER_CELLS, LAST_TIME as COUNTER_LAST_TIME, FIRST_TIME, forgetCarry, TOLD_SINCE } from './counter.ts'
import { PackedReader, PackedWriter } from './packed-values.ts'
import { type DeviceSeries, fieldNamed } from './series.ts'
import { createSketch, renumberSlots } from './sketch.ts'
import { CELLS, COUNT, emptyRow, holdOpen, LAST_TIME, type WindowRow, type Windows, windowStart } from './window.ts'

const CLOSED = 1
const RAISED = 2
const UNCERTAIN = 4
/** Before version 3 each reading went into the rows of both widths. */
const WIDTHS_MS_BEFORE_3 = [10_000, 60_000]
const NO_SKETCH = createSketch()

export type SavedRow = [
  startMs: number,
  revision: number,
  closedAndRaised: number,
  changed: 0 | 1,
  strings?: (string | null)[] | null,
  rolledUp?: string | null,
  loose?: [counter: number, ...cells: number[]][],
]
export interface SavedWindows {
  widthMs?: number
  forgottenBeforeMs: number | null
  rows: SavedRow[]
  late?: SavedRow[]
  lateForgottenMs?: number | null
  carry?: (number | null)[]
}

const isTime = (cell: number): boolean => [FIRST_TIME, COUNTER_LAST_TIME, TOLD_SINCE].includes(cell % COUNTER_CELLS)

/** Where the fields and the counters of saved rows stand in rows of now; undefined when the contract has them no more. */
interface Places {
  readonly slots: readonly (number | undefined)[]
  readonly counters: readonly (number | undefined)[]
}

export class RowWriter {
  private readonly packed = new PackedWriter()

  save(windows: Windows): SavedWindows {
    const saveRow = (row: WindowRow) => this.saveRow(row)
    return {
      widthMs: windows.widthMs,
      forgottenBeforeMs: windows.forgottenBeforeMs,
      rows: [...windows.rows.values()].map(saveRow),
      lateForgottenMs: windows.lateForgottenMs,
      late: [...windows.late.values()].map(saveRow),
      carry: [...windows.carry],
    }
  }

  private saveRow(row: WindowRow): SavedRow {
    const { packed } = this
    const { cells, counters = [] } = row
    for (let at = 0; at < cells.length; at += CELLS) {
      packed.whole(cells[at + COUNT] as number)
      if (cells[at + COUNT] === 0) continue
      for (let cell = COUNT + 1; cell < LAST_TIME; cell++) packed.number(cells[at + cell] as number)
      packed.number((cells[at + LAST_TIME] as number) - row.startMs)
    }
    for (const [i, value] of counters.entries()) packed.number(isTime(i) ? value - row.startMs : value)
    packed.sketch(row.sketch ?? NO_SKETCH)
    const flags = (row.closed ? CLOSED : 0) | (row.raised ? RAISED : 0) | (row.uncertain ? UNCERTAIN : 0)
    const saved: SavedRow = [row.startMs, row.revision, flags, row.changed ? 1 : 0]
    const { strings, rolledUp, loose } = row
    if (strings || rolledUp !== undefined || loose) saved[4] = strings?.map((text) => text ?? null) ?? null
    if (rolledUp !== undefined || loose) saved[5] = rolledUp ?? null
    if (loose) saved[6] = loose.map((one) => [one.counter, ...one.cells])
    return saved
  }

  finish(): Uint8Array {
    return this.packed.finish()
  }
}

export class RowReader {
  private readonly version: number
  private readonly packed: PackedReader

  /** @param bytes what the writer had finished; of versions before 3, the cells of all rows */
  constructor(version: number, bytes: Uint8Array) {
    this.version = version
    this.packed = new PackedReader(bytes)
  }

  /**
   * Widths are made of each other: those after the first that the contract does not have any more begin anew.
   * @param series undefined when its contract is gone: then its rows are only passed over
   * @param fields as the cells have them
   * @returns windows in which readings were and which only the store knows: [width, start]
   */
  restore(
    series: DeviceSeries | undefined,
    saved: readonly SavedWindows[],
    fields: readonly string[],
    counters: readonly string[],
  ): [widthMs: number, startMs: number][] {
    const places: Places = {
      slots: fields.map((name) => series?.layout.slotOf.get(name)),
      counters: counters.map((name) => series && fieldNamed(series, name)?.counter),
    }
    let kept = 0
    for (const [w, one] of saved.entries()) {
      const windows = series?.windows?.[w]
      const isKept = kept === w && windows?.widthMs === (one.widthMs ?? WIDTHS_MS_BEFORE_3[w])
      if (isKept) kept += 1
      this.restoreWidth(isKept ? windows : undefined, w, one, places)
    }
    const lost: [number, number][] = []
    if (series === undefined || !Number.isFinite(series.newestMs)) return lost
    for (const windows of series.windows?.slice(kept) ?? []) {
      const startMs = windowStart(series.newestMs, windows.widthMs)
      windows.forgottenBeforeMs = startMs + windows.widthMs
      for (let c = 0; c < windows.shape.counters.length; c++) forgetCarry(windows.carry, c)
      lost.push([windows.widthMs, startMs])
    }
    return lost
  }

  private restoreWidth(
    windows: Windows | undefined,
    w: number,
    { forgottenBeforeMs, lateForgottenMs, carry, rows, late = [] }: SavedWindows,
    places: Places,
  ): void {
    if (windows) {
      windows.forgottenBeforeMs = forgottenBeforeMs ?? Number.NEGATIVE_INFINITY
      windows.lateForgottenMs = lateForgottenMs ?? Number.NEGATIVE_INFINITY
      for (let place = 0; place < windows.shape.counters.length; place++) {
        const c = places.counters.indexOf(place)
        if (c < 0) forgetCarry(windows.carry, place)
        else for (const cell of [0, 1]) windows.carry[2 * place + cell] = carry?.[2 * c + cell] ?? Number.NaN
      }
    }
    for (const [place, saved] of [...rows, ...late].entries()) {
      const row = this.restoreRow(windows, w, saved, places)
      if (windows === undefined || row === undefined) continue
      if (place >= rows.length) windows.late.set(row.startMs, row)
      else {
        windows.rows.set(row.startMs, row)
        if (!row.closed) holdOpen(windows, row)
      }
    }
  }

  private restoreRow(
    windows: Windows | undefined,
    w: number,
    [startMs, revision, flags, changed, strings, rolledUp, loose]: SavedRow,
    { slots, counters }: Places,
  ): WindowRow | undefined {
    const row = windows && emptyRow(startMs, windows.shape)
    for (const slot of slots) this.restoreCells(slot === undefined ? undefined : row?.cells, slot ?? 0, startMs)
    for (const place of counters)
      for (let cell = 0; cell < COUNTER_CELLS; cell++) {
        const value = this.packed.number()
        if (row?.counters && place !== undefined)
          row.counters[place * COUNTER_CELLS + cell] = isTime(cell) ? value + startMs : value
      }
    const sketch = this.version < 3 ? undefined : this.packed.sketch()
    if (row === undefined) return undefined
    if (sketch && row.sketch) row.sketch = slots.every((slot, i) => slot === i) ? sketch : renumberSlots(sketch, slots)
    if (strings) {
      row.strings = new Array<string | undefined>(row.cells.length / CELLS).fill(undefined)
      for (const [i, slot] of slots.entries()) if (slot !== undefined) row.strings[slot] = strings[i] ?? undefined
    }
    row.rolledUp = rolledUp ?? undefined
    for (const [c, ...cells] of loose ?? []) {
      const place = counters[c]
      if (place !== undefined) row.loose = [...(row.loose ?? []), { counter: place, cells: Float64Array.from(cells) }]
    }
    row.revision = revision
    // A field that became a counter meanwhile has readings that were not counted.
    const isUncounted = windows?.shape.counters.some(
      ({ slot }, place) => !counters.includes(place) && row.cells[slot * CELLS + COUNT] !== 0,
    )
    row.closed = (flags & CLOSED) !== 0
    row.raised = this.version < 3 ? w === 0 || row.closed : (flags & RAISED) !== 0
    row.uncertain = (flags & UNCERTAIN) !== 0 || isUncounted === true
    row.changed = changed === 1
    return row
  }

  private restoreCells(cells: number[] | undefined, slot: number, startMs: number): void {
    const count = this.version < 3 ? this.packed.double() : this.packed.whole()
    if (cells) cells[slot * CELLS + COUNT] = count
    if (this.version >= 3 && count === 0) return
    for (let cell = COUNT + 1; cell < CELLS; cell++) {
      const value = this.version < 3 ? this.packed.double() : this.packed.number()
      if (cells) cells[slot * CELLS + cell] = this.version >= 3 && cell === LAST_TIME ? value + startMs : value
    }
  }
}
