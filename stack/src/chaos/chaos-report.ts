/** The result of a chaos run: one row a fault kind, and what is needed to repeat it. Its JSON shape is a promise. */

export interface RoundResult {
  readonly round: number
  readonly fault: string
  readonly variant: string
  /** From the beginning of the fault to its end. */
  readonly faultSeconds: number
  /** From the end of the fault until everything was accounted for; null when that did not come about. */
  readonly recoverySeconds: number | null
  /** Measured since the round before was verified. */
  readonly readings: number
  readonly missing: number
  readonly duplicates: number
  /** Windows of which every field was compared. */
  readonly windowsChecked: number
  readonly mistakes: readonly string[]
}

export interface FaultRow {
  readonly fault: string
  readonly times: number
  readonly worstRecoverySeconds: number | null
  readonly missing: number
  readonly duplicates: number
}

export interface ChaosReport {
  readonly seed: number
  /** ISO 8601, when the run began. */
  readonly date: string
  readonly seconds: number
  readonly roundsAsked: number
  readonly rounds: readonly RoundResult[]
  readonly table: readonly FaultRow[]
  /** Every reading of the run, compared at its end; null when it did not get there. */
  readonly whole: {
    readonly produced: number
    readonly stored: number
    readonly deadLettered: number
    readonly shed: number
    readonly lostAtDevice: number
    readonly missing: number
    readonly duplicates: number
    readonly wrong: number
    readonly windowsChecked: number
    readonly alerts: number
  } | null
  /** Kinds that this machine cannot bring about, and why. */
  readonly notAvailable: readonly { readonly fault: string; readonly why: string }[]
  readonly substitutes: readonly { readonly fault: string; readonly instead: string }[]
  readonly versions: Readonly<Record<string, string>>
  /** What was wrong; empty when all was well. */
  readonly mistakes: readonly string[]
  /** Where logs and data are kept, when they are. */
  readonly keptIn: string | null
}

/** In the order of `kinds`; one row for each that came. */
export function faultTable(kinds: readonly string[], rounds: readonly RoundResult[]): FaultRow[] {
  return kinds.flatMap((fault) => {
    const own = rounds.filter((round) => round.fault === fault)
    if (own.length === 0) return []
    const sum = (key: 'missing' | 'duplicates') => own.reduce((total, round) => total + round[key], 0)
    const recoveries = own.map((round) => round.recoverySeconds)
    return [
      {
        fault,
        times: own.length,
        worstRecoverySeconds: recoveries.includes(null) ? null : Math.max(...(recoveries as number[])),
        missing: sum('missing'),
        duplicates: sum('duplicates'),
      },
    ]
  })
}
