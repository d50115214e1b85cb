/** What became of dead letters that were requeued or dropped, or would: by reason, for people and as data. */
import type { DeadLetter, LetterSettlement } from '@tributary/protocol'
import { brief, count, table } from './print.ts'

/** Letters and readings; a letter of which a part is stored and a part refused again counts in both. */
export interface SettlingGroup {
  readonly stage: string
  readonly reason: string
  letters: number
  readings: number
  stored: number
  refused: number
  dropped: number
  /** Letters that stay as they were. */
  unchanged: number
  /** Letters that were asked for, and nobody has answered yet. */
  unanswered: number
}

/** The shape of `--json`. */
export interface SettlingReport {
  readonly action: 'requeue' | 'drop'
  readonly dryRun: boolean
  readonly letters: number
  readonly readings: number
  readonly stored: number
  readonly refused: number
  readonly dropped: number
  readonly unchanged: number
  readonly unanswered: number
  readonly groups: readonly SettlingGroup[]
  /** Why readings are refused again. */
  readonly refusedAgain: readonly Why[]
  /** Why letters stay as they were. */
  readonly obstacles: readonly Why[]
}

interface Why {
  readonly reason: string
  letters: number
  readings: number
  readonly exampleId: string
  readonly exampleDetail: string
}

/** What is said of one letter: an answer, the same as a dry run foresees it, or a sentence why it stays as it is. */
export type Said = Pick<LetterSettlement, 'outcome' | 'stored' | 'refused' | 'reason' | 'detail'> | string | undefined

/** Reasons and obstacles listed; further ones are summed up. */
const WHY_MAX = 50

export interface SettlingTally {
  add(letter: DeadLetter, said: Said): void
  readonly letters: number
  report(): SettlingReport
}

export function createSettlingTally(action: 'requeue' | 'drop', dryRun: boolean): SettlingTally {
  const groups = new Map<string, SettlingGroup>()
  const refusedAgain = new Map<string, Why>()
  const obstacles = new Map<string, Why>()
  let letters = 0
  const note = (list: Map<string, Why>, reason: string, letter: DeadLetter, readings: number, detail: string) => {
    const key = list.has(reason) || list.size < WHY_MAX ? reason : 'others'
    const why = list.get(key) ?? { reason: key, letters: 0, readings: 0, exampleId: letter.id, exampleDetail: detail }
    why.letters += 1
    why.readings += readings
    list.set(key, why)
  }
  return {
    get letters() {
      return letters
    },
    add(letter, said) {
      const { stage, reason, readingCount } = letter
      const key = `${stage}/${reason}`
      const empty = { letters: 0, readings: 0, stored: 0, refused: 0, dropped: 0, unchanged: 0, unanswered: 0 }
      const group = groups.get(key) ?? { stage, reason, ...empty }
      groups.set(key, group)
      letters += 1
      group.letters += 1
      group.readings += readingCount
      if (said === undefined) group.unanswered += 1
      else if (typeof said === 'string' || said.outcome === 'unchanged' || said.outcome === 'settled_before') {
        group.unchanged += 1
        const detail = typeof said === 'string' ? said : said.detail
        // Sentences that differ in numbers alone are one.
        note(obstacles, detail.replace(/\d+/g, '…'), letter, readingCount, detail)
      } else if (said.outcome === 'dropped') group.dropped += readingCount
      else {
        group.stored += said.stored
        group.refused += said.refused
        if (said.refused > 0) note(refusedAgain, said.reason, letter, said.refused, said.detail)
      }
    },
    report() {
      const rows = [...groups.values()].sort((a, b) => b.readings - a.readings || b.letters - a.letters)
      const sum = (pick: (group: SettlingGroup) => number) => rows.reduce((total, group) => total + pick(group), 0)
      const byReadings = (list: Map<string, Why>) => [...list.values()].sort((a, b) => b.readings - a.readings)
      return {
        action,
        dryRun,
        letters,
        readings: sum((group) => group.readings),
        stored: sum((group) => group.stored),
        refused: sum((group) => group.refused),
        dropped: sum((group) => group.dropped),
        unchanged: sum((group) => group.unchanged),
        unanswered: sum((group) => group.unanswered),
        groups: rows,
        refusedAgain: byReadings(refusedAgain),
        obstacles: byReadings(obstacles),
      }
    },
  }
}

/** Several lines for a person. */
export function settlingText(report: SettlingReport): string {
  const { action, dryRun, letters, unchanged, unanswered, groups, refusedAgain, obstacles } = report
  if (letters === 0) return 'no dead letter is selected'
  const parts: string[] = []
  if (action === 'requeue') {
    const head = ['stage', 'reason', 'letters', 'readings', 'stored', 'refused again', 'letters unchanged']
    const rows = groups.map((g) => [g.stage, g.reason, g.letters, g.readings, g.stored, g.refused, g.unchanged])
    parts.push(table(head, rows))
  } else {
    const rows = groups.map((g) => [g.stage, g.reason, g.letters, g.readings, g.dropped, g.unchanged])
    parts.push(table(['stage', 'reason', 'letters', 'readings', 'dropped', 'letters unchanged'], rows))
  }
  for (const { reason, readings, exampleDetail } of refusedAgain)
    parts.push(`refused again, ${reason}: ${count(readings)} readings, such as ${brief(exampleDetail)}`)
  for (const { letters: held, exampleId, exampleDetail } of obstacles)
    parts.push(`unchanged: ${count(held)} letters, such as ${exampleId}: ${brief(exampleDetail)}`)
  const { stored, refused, dropped } = report
  const what =
    action === 'drop'
      ? `${count(dropped)} readings ${dryRun ? 'would be' : 'were'} dropped: they stay dead-lettered in the account`
      : `${count(stored)} readings ${dryRun ? 'would be stored' : 'were stored'}, ${count(refused)} refused again`
  parts.push(
    `${count(letters)} letters: ${what}${unchanged > 0 ? `; ${count(unchanged)} letters stay as they were` : ''}`,
  )
  if (unanswered > 0)
    parts.push(
      `${count(unanswered)} letters were asked for and not answered: the requests wait in the stream until a processor takes them; asking again changes nothing`,
    )
  return parts.join('\n')
}
