/** What the views find in one reading: room for it is used again for the next. */

/** Views by name; the index is their place in `Findings`. */
export const VIEWS = [
  'record',
  'level',
  'hour_record',
  'hour',
  'short_mean',
  'long_mean',
  'variability_record',
  'variability',
  'distribution',
  'prediction',
  'jump',
  'shift',
  'shape',
  'long_shape',
] as const
export type View = (typeof VIEWS)[number]

/** One number a view: its rarity; what it looked at; what that usually is; and how far from there is still usual. */
export interface Findings {
  readonly rarity: Float64Array
  readonly seen: Float64Array
  readonly usual: Float64Array
  readonly margin: Float64Array
}

/** Room for one reading, of whatever series: nothing in it outlives an `observe`. */
export const findings: Findings = {
  rarity: new Float64Array(VIEWS.length),
  seen: new Float64Array(VIEWS.length),
  usual: new Float64Array(VIEWS.length),
  margin: new Float64Array(VIEWS.length),
}

export function find(to: Findings, view: number, rarity: number, seen: number, usual: number, margin: number): void {
  to.rarity[view] = rarity
  to.seen[view] = seen
  to.usual[view] = usual
  to.margin[view] = margin
}
