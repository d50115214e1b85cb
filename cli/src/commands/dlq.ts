/** `tributary dlq`: what was refused, why, and what it looked like. Reading removes nothing. */
import type { DeadLetter, DeadLetterStage } from '@tributary/protocol'
import { messageOf, UserError } from '@tributary/runtime'
import { Command, Option } from 'commander'
import { print, printJson, table } from '../print.ts'

const STAGES = ['edge', 'decode', 'contract', 'store'] satisfies DeadLetterStage[]

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
  const nats = () =>
    new Option('--nats <url>', 'NATS server').default('nats://127.0.0.1:4222').env('TRIBUTARY_NATS_URL')
  return new Command('dlq')
    .description('look at dead letters: what was refused, with the reason and the original bytes')
    .addCommand(
      new Command('list')
        .description('dead letters grouped by stage and reason, or each one of a reason')
        .addOption(nats())
        .option('--agent <name>', 'of this agent only')
        .addOption(new Option('--stage <stage>', 'refused at this stage only').choices(STAGES))
        .option('--reason <reason>', 'list each letter with this reason')
        .option('--limit <n>', 'at most so many letters with --reason', (text) => Number.parseInt(text, 10), 50)
        .option('--json', 'print {groups: […]}, or with --reason {letters: […]}')
        .action(list),
    )
    .addCommand(
      new Command('show')
        .description('one dead letter with its original bytes')
        .argument('<id>', 'as `dlq list` prints it')
        .addOption(nats())
        .option('--json', 'print the letter as it is stored; `original` is base64')
        .option('--raw', 'write the original bytes alone to standard output')
        .action(show),
    )
}

async function withNats<T>(
  url: string,
  work: (connection: import('@nats-io/transport-node').NatsConnection) => Promise<T>,
): Promise<T> {
  const { connect } = await import('@nats-io/transport-node')
  const connection = await connect({ servers: url, timeout: 5_000, reconnect: false }).catch((error) => {
    throw new UserError(`no NATS server answers at ${url} (${messageOf(error)})`, {
      cause: error,
      hint: 'give its address with --nats',
    })
  })
  try {
    return await work(connection)
  } finally {
    await connection.close()
  }
}

async function list(options: {
  nats: string
  agent?: string
  stage?: DeadLetterStage
  reason?: string
  limit: number
  json?: boolean
}): Promise<void> {
  const { readDeadLetters } = await import('@tributary/cloud-processor')
  const groups = new Map<string, Group>()
  const letters: DeadLetter[] = []
  await withNats(options.nats, async (connection) => {
    const filter = {
      ...(options.agent ? { agent: options.agent } : {}),
      ...(options.stage ? { stage: options.stage } : {}),
    }
    for await (const letter of readDeadLetters(connection, filter)) {
      if (options.reason === undefined) addTo(groups, letter)
      else if (letter.reason === options.reason && letters.length < options.limit) letters.push(letter)
    }
  })
  if (options.reason !== undefined) {
    if (options.json) printJson({ letters })
    else if (letters.length === 0) print(`no dead letter has the reason "${options.reason}"`)
    else
      print(
        table(
          ['id', 'refused at', 'device', 'field', 'readings', 'detail'],
          letters.map((l) => [
            l.id,
            new Date(l.refusedAtMs).toISOString(),
            l.device,
            l.field,
            l.readingCount,
            l.detail,
          ]),
        ),
      )
    return
  }
  const rows = [...groups.values()].sort((a, b) => b.readings - a.readings || b.letters - a.letters)
  if (options.json) printJson({ groups: rows })
  else if (rows.length === 0) print('no dead letters')
  else
    print(
      table(
        ['stage', 'reason', 'letters', 'readings', 'last refused at', 'example', ''],
        rows.map((g) => [g.stage, g.reason, g.letters, g.readings, g.lastRefusedAt, g.exampleId, g.exampleDetail]),
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
  group.lastRefusedAt = new Date(letter.refusedAtMs).toISOString()
  group.exampleId = letter.id
  group.exampleDetail = letter.detail
  groups.set(key, group)
}

async function show(id: string, options: { nats: string; json?: boolean; raw?: boolean }): Promise<void> {
  const { findDeadLetter } = await import('@tributary/cloud-processor')
  const letter = await withNats(options.nats, (connection) => findDeadLetter(connection, id))
  if (!letter)
    throw new UserError(`there is no dead letter ${id}`, { hint: '`tributary dlq list --reason REASON` prints ids' })
  const original = Buffer.from(letter.original, 'base64')
  if (options.raw) process.stdout.write(original)
  else if (options.json) printJson(letter)
  else {
    const { original: _, ...rest } = letter
    for (const [key, value] of Object.entries(rest))
      print(
        `${key.padEnd(15)} ${key.endsWith('AtMs') || key === 'timeMs' ? new Date(Number(value)).toISOString() : value}`,
      )
    print(
      `original        ${letter.originalBytes} bytes${original.length < letter.originalBytes ? `, the first ${original.length} kept` : ''}`,
    )
    print(isText(original) ? original.toString('utf8') : hexDump(original))
  }
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
