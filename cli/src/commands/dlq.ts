/** `tributary dlq`: what was refused, why, and what it looked like; and how it is taken in after all. Reading removes nothing. */
import type { DeadLetter } from '@tributary/protocol'
import { UserError } from '@tributary/runtime'
import { Command, Option } from 'commander'
import { addSelection, isSelected, type Selection } from '../dead-letter-selection.ts'
import { natsOption, withNats } from '../nats-connection.ts'
import { duration, wholeNumber } from '../option-values.ts'
import { brief, count, plain, print, printJson, table } from '../print.ts'
import { type SettleOptions, settleLetters } from './dlq-settle.ts'

interface Group {
  stage: string
  reason: string
  letters: number
  readings: number
  lastRefusedAt: string
  exampleId: string
  exampleDetail: string
}

export function dlqCommand(): Command {
  return new Command('dlq')
    .description('dead letters: what was refused, with the reason and the original bytes; requeue or drop them')
    .addCommand(
      addSelection(
        new Command('list').description('dead letters grouped by stage and reason, or each one of a reason'),
        'list each letter with this reason',
      )
        .addOption(natsOption())
        .option('--limit <n>', 'at most so many letters with --reason, the oldest first', wholeNumber, 50)
        .option('--json', 'print {groups: […]}, or with --reason {letters: […], more: n}')
        .action(list),
    )
    .addCommand(
      new Command('show')
        .description('one dead letter with its original bytes')
        .argument('<id>', 'as `dlq list` prints it')
        .addOption(natsOption())
        .option('--json', 'print the letter as it is stored; `original` is base64')
        .option('--raw', 'write the original bytes alone to standard output')
        .action(show),
    )
    .addCommand(
      settling(
        new Command('requeue').description(
          'take refused readings in after all, once the contract or InfluxDB is mended',
        ),
      )
        .addOption(natsOption())
        .option('--dry-run', 'say what would be stored and what refused again; changes nothing')
        .option('--contracts <folder>', 'judge by these contracts with --dry-run (default: "contracts")')
        .addHelpText('after', REQUEUE_HELP)
        .action((ids: string[], options: SettleOptions) => settleLetters('requeue', ids, options)),
    )
    .addCommand(
      settling(new Command('drop').description('give refused readings up: they leave the queue and stay dead-lettered'))
        .addOption(natsOption())
        .option('--dry-run', 'say what would be dropped; changes nothing')
        .option('--yes', 'really drop them; without it this is a dry run')
        .action((ids: string[], options: SettleOptions) => settleLetters('drop', ids, options)),
    )
}

const settling = (command: Command): Command =>
  addSelection(command.argument('[ids...]', 'as `dlq list --reason` prints them'))
    .option('--all', 'every dead letter there is')
    .addOption(
      new Option('--wait <duration>', 'give up waiting when nothing is answered for so long')
        .argParser(duration)
        .default(30_000, '30s'),
    )
    .option(
      '--json',
      'print {action, dryRun, letters, readings, stored, refused, dropped, unchanged, unanswered, groups, …}',
    )

const REQUEUE_HELP = `
The processor judges the readings by the contracts that it has now: correct the contract, see that the processor has it, then requeue. What
passes is stored as if it had come late, once, however often it is requeued; what does not stays a dead letter with its new reason.
Lines that an agent could not read (stage edge) and batches that cannot be decoded (stage decode) hold no readings and cannot be requeued.

Examples:
  tributary dlq requeue --reason out_of_range --kind climate --dry-run --contracts ./contracts
  tributary dlq requeue --reason out_of_range --kind climate --since 24h
  tributary dlq requeue pi-1/0123456789abcdef/17/c0
`

async function list(options: Selection & { nats: string; limit: number; json?: boolean }): Promise<void> {
  const { readDeadLetters } = await import('@tributary/cloud-processor')
  const groups = new Map<string, Group>()
  const letters: DeadLetter[] = []
  let more = 0
  await withNats(options.nats, async (connection) => {
    const filter = {
      ...(options.agent ? { agent: options.agent } : {}),
      ...(options.stage ? { stage: options.stage } : {}),
    }
    for await (const letter of readDeadLetters(connection, filter)) {
      if (!isSelected(letter, options)) continue
      if (options.reason === undefined) addTo(groups, letter)
      else if (letters.length < options.limit) letters.push(letter)
      else more += 1
    }
  })
  if (options.reason !== undefined) {
    if (options.json) printJson({ letters, more })
    else if (letters.length + more === 0) print(`no dead letter has the reason "${options.reason}"`)
    else {
      const rows = letters.map((l) => [
        l.id,
        sayTime(l.refusedAtMs),
        l.device,
        l.field,
        l.readingCount,
        brief(l.detail),
      ])
      print(table(['id', 'refused at', 'device', 'field', 'readings', 'detail'], rows))
      if (more > 0) print(`and ${count(more)} more; --limit ${letters.length + more} lists them all`)
    }
    return
  }
  const rows = [...groups.values()].sort((a, b) => b.readings - a.readings || b.letters - a.letters)
  if (options.json) printJson({ groups: rows })
  else if (rows.length === 0) print('no dead letters')
  else
    print(
      table(
        ['stage', 'reason', 'letters', 'readings', 'last refused at', 'example', ''],
        rows.map((g) => [
          g.stage,
          g.reason,
          g.letters,
          g.readings,
          g.lastRefusedAt,
          g.exampleId,
          brief(g.exampleDetail),
        ]),
      ),
    )
}

function addTo(groups: Map<string, Group>, letter: DeadLetter): void {
  const key = `${letter.stage} ${letter.reason}`
  const group = groups.get(key) ?? {
    stage: letter.stage,
    reason: letter.reason,
    letters: 0,
    readings: 0,
    lastRefusedAt: '',
    exampleId: '',
    exampleDetail: '',
  }
  group.letters += 1
  group.readings += letter.readingCount
  group.lastRefusedAt = sayTime(letter.refusedAtMs)
  group.exampleId = letter.id
  group.exampleDetail = letter.detail
  groups.set(key, group)
}

async function show(id: string, options: { nats: string; json?: boolean; raw?: boolean }): Promise<void> {
  const { findDeadLetter, findSettlement } = await import('@tributary/cloud-processor')
  const [letter, settlement] = await withNats(options.nats, async (connection) => {
    const found = await findDeadLetter(connection, id)
    return [found, found ? undefined : await findSettlement(connection, id)] as const
  })
  if (settlement) {
    const { outcome, stored, detail, settledAtMs } = settlement
    const what =
      outcome === 'stored' ? `${stored} readings of it were stored` : outcome === 'dropped' ? 'it was dropped' : detail
    throw new UserError(
      `the dead letter ${id} is not in the queue any more: ${what}, ${new Date(settledAtMs).toISOString()}`,
      {
        hint: '`tributary dlq list --reason REASON` prints those that are',
      },
    )
  }
  if (!letter)
    throw new UserError(`there is no dead letter ${id}`, { hint: '`tributary dlq list --reason REASON` prints ids' })
  const original = Buffer.from(letter.original, 'base64')
  if (options.raw) process.stdout.write(original)
  else if (options.json) printJson(letter)
  else {
    const { original: _, ...rest } = letter
    for (const [key, value] of Object.entries(rest))
      print(
        `${key.padEnd(15)} ${key.endsWith('AtMs') || key === 'timeMs' ? sayTime(Number(value)) : plain(String(value))}`,
      )
    print(
      `original        ${letter.originalBytes} bytes${original.length < letter.originalBytes ? `, the first ${original.length} kept` : ''}`,
    )
    print(isText(original) ? original.toString('utf8') : hexDump(original))
  }
}

/** A device may say a time that is none. */
const sayTime = (timeMs: number): string => {
  const time = new Date(timeMs)
  return Number.isNaN(time.getTime()) ? String(timeMs) : time.toISOString()
}

const isText = (bytes: Buffer): boolean => !/[^\t\n\r -~\u00a0-\uffef]/.test(bytes.toString('utf8'))

function hexDump(bytes: Buffer): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16)
    const hex = [...row].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = [...row].map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.')).join('')
    lines.push(`${at.toString(16).padStart(8, '0')}  ${hex.padEnd(47)}  ${text}`)
  }
  return lines.join('\n')
}
