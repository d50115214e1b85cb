/**
 * `tributary ledger`: the account, and by name what was shed or has not arrived.
 * produced = stored + dead-lettered + shed + in flight (+ missing, which must be 0).
 */
import { Command } from 'commander'
import { askAdmin } from '../admin-client.ts'
import { print, printJson, table } from '../print.ts'

interface Row {
  produced: number
  stored: number
  deadLettered: number
  shed: number
  inFlight: number
  missing: number
}
interface Gap {
  epoch: string
  fromSequence: number
  toSequence: number
  readings: number | null
  seenAtMs: number
  missing: boolean
  requested: number
  requestedAtMs: number | null
}
interface Shed {
  reason: string
  readings: number
  batches: number
  ranges: { epoch: string; fromSequence: number; toSequence: number; readings: number }[]
  unnamedBatches: number
}
interface Agent extends Row {
  site: string
  agent: string
  epochs: { epoch: string; recovered: number; inDoubt: boolean }[]
  waiting: { batches: number; sinceMs: number; saidAtMs: number } | null
  gaps: Gap[]
  shedReasons: Shed[]
}
interface Account {
  agents: Agent[]
  total: Row
}

/** What the reasons of tombstones mean. */
const SHED_BECAUSE: Record<string, string> = {
  rolled_up_10s: 'kept as windows of 10 s, because the spool was nearly full',
  rolled_up_1m: 'kept as windows of 1 min, because the spool was nearly full',
  shed: 'given up, because the spool was full',
  disk_budget: 'given up, because the spool was full',
  damaged: 'lost in a damaged part of the spool',
  unused: 'numbers that an epoch before this one had used: nothing is lost',
  spool_full: 'refused as they came, because the spool was full',
  restarted: 'reports of a processor that was restarted before they were stored',
  before_state_loss: 'shed before the processor lost its state; it knows no more of them',
}

export function ledgerCommand(): Command {
  return new Command('ledger')
    .description('print the account of every agent: produced = stored + dead-lettered + shed + in flight + missing')
    .option(
      '--processor <url>',
      'admin address of a processor (repeatable; default http://127.0.0.1:9603)',
      (value: string, before: string[] = []) => [...before, value],
    )
    .option(
      '--json',
      'print {agents: [{site, agent, produced, stored, deadLettered, shed, inFlight, missing, waiting, gaps, shedReasons, letters, epochs}], total}',
    )
    .addHelpText('after', '\nExit code 1 when readings are missing.')
    .action(async (options: { processor?: string[]; json?: boolean }) => {
      const urls = options.processor ?? ['http://127.0.0.1:9603']
      const account = joined(await Promise.all(urls.map((url) => askAdmin<Account>(url, '/account', '--processor'))))
      if (options.json) printJson(account)
      else {
        const cells = (row: Row) => [row.produced, row.stored, row.deadLettered, row.shed, row.inFlight, row.missing]
        print(
          table(
            ['site', 'agent', 'produced', 'stored', 'dead-lettered', 'shed', 'in flight', 'missing'],
            [...account.agents.map((a) => [a.site, a.agent, ...cells(a)]), ['', 'total', ...cells(account.total)]],
          ),
        )
        for (const agent of account.agents) for (const line of remarks(agent)) print(line)
      }
      if (account.total.missing > 0) process.exitCode = 1
    })
}

/** Of processors that share a stream: no agent is with two of them. */
export function joined(accounts: readonly Account[]): Account {
  const total: Row = { produced: 0, stored: 0, deadLettered: 0, shed: 0, inFlight: 0, missing: 0 }
  for (const account of accounts)
    for (const key of Object.keys(total) as (keyof Row)[]) total[key] += account.total[key]
  return { agents: accounts.flatMap(({ agents }) => agents), total }
}

/** One line for each thing that a person may want to know of an agent beside its sums. */
export function remarks({ agent, epochs, waiting, gaps, shedReasons }: Agent): string[] {
  const lines: string[] = []
  if (waiting)
    lines.push(
      `waiting: ${agent}, ${waiting.batches} batches wait at the agent since ${at(waiting.sinceMs)} (said ${at(waiting.saidAtMs)})`,
    )
  for (const { epoch, fromSequence, toSequence, readings, missing, requested, requestedAtMs } of gaps)
    lines.push(
      `gap: ${agent}, epoch ${epoch}, sequences ${fromSequence} to ${toSequence} ${missing ? 'are missing' : 'have not arrived'}: ${readings ?? 'an unknown number of'} readings${
        requested > 0 && requestedAtMs !== null ? `; asked for ${times(requested)}, last at ${at(requestedAtMs)}` : ''
      }`,
    )
  for (const { reason, readings, ranges, unnamedBatches } of shedReasons) {
    const why = SHED_BECAUSE[reason] ?? 'as the agent said'
    for (const range of ranges)
      lines.push(
        `shed: ${agent}, epoch ${range.epoch}, sequences ${range.fromSequence} to ${range.toSequence}: ${range.readings} readings, ${reason} (${why})`,
      )
    const listed = ranges.reduce((sum, range) => sum + range.readings, 0)
    if (readings !== listed || unnamedBatches > 0)
      lines.push(
        `shed: ${agent}, ${unnamedBatches > 0 ? `${unnamedBatches} more batches` : 'more'}: ${readings - listed} readings, ${reason} (${why})`,
      )
  }
  for (const { epoch, recovered, inDoubt } of epochs) {
    if (recovered > 0)
      lines.push(
        `recovered: ${agent}, epoch ${epoch}: ${recovered} readings were stored before the processor lost its state`,
      )
    if (inDoubt)
      lines.push(`in doubt: ${agent}, epoch ${epoch}: its gateway has not said yet what was stored of it before`)
  }
  return lines
}

const at = (timeMs: number): string => new Date(timeMs).toISOString()
const times = (count: number): string => (count === 1 ? 'once' : `${count} times`)
