/** What a benchmark says: lines for people, figures beside their budgets, progress while it takes long. */

export interface Figure {
  readonly what: string
  readonly value: number
  readonly unit: string
  /** The value must not be above. */
  readonly budget?: number
  /** What it stands beside, such as the same done in another way. */
  readonly beside?: string
}

export interface BenchOptions {
  /** Named on the command line, or `--full`: it may take minutes. */
  readonly long: boolean
  /** Of the outage in `edge`. */
  readonly minutes: number
  /** Where CPU profiles of the pipeline's processes go; undefined: none are made, and nothing is slower for it. */
  readonly profileFolder: string | undefined
  /** Of `nab`: the benchmark's folder, one detector instead of all, and where the scores of rows go. */
  readonly nab: {
    readonly data: string | undefined
    readonly detector: string | undefined
    readonly scores: string | undefined
  }
}

export interface Report {
  readonly options: BenchOptions
  print(line: string): void
  figure(figure: Figure): void
  /** On standard error, when it is a while since the last one. */
  progress(text: string): void
}

const number = (value: number): string =>
  value.toLocaleString('en-GB', { maximumFractionDigits: Math.abs(value) < 10 ? 2 : Math.abs(value) < 1000 ? 1 : 0 })

export function figureText({ what, value, unit, budget, beside }: Figure): string {
  const said = `${what}: ${number(value)}${unit && ` ${unit}`}`
  const kept = budget === undefined ? '' : ` (budget ${number(budget)}: ${value <= budget ? 'met' : 'MISSED'})`
  return `${said}${kept}${beside ? `; ${beside}` : ''}`
}

/** Columns side by side, the first to the left, the others to the right. */
export function tableLines(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)))
  return rows.map((row) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
  )
}

/** The smallest value with at least `share` of all at or below it; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}

export const mebibytes = (bytes: number): number => bytes / 1024 ** 2
