/** `tributary spool`: what lies in a spool's folder. Nothing is ever written there, and its owner may run meanwhile. */
import { systemClock } from '@tributary/runtime'
import { checkSpool, inspectSpool, readSpool, type SpoolDamage, type SpoolInspection } from '@tributary/spool'
import { Command, InvalidArgumentError, Option } from 'commander'
import { CSV_HEAD, EXPORT_FORMATS } from '../export-rows.ts'
import { age, bytes, count, print, printJson, table } from '../print.ts'
import { createProgress } from '../progress.ts'
import { isUnsent, type ReadRecord, readRecord, type SpoolOwnerKind } from '../spool-record.ts'
import { exportReadings } from './spool-export.ts'

const FOLDER = 'the folder of an agent or gateway (`spool.folder` in its config), in use or copied from a card'

export function spoolCommand(): Command {
  return new Command('spool')
    .description('look into a spool: the queue on the disk of an agent or gateway. Nothing is changed')
    .addCommand(
      new Command('inspect')
        .description('epochs, segments, sequences, bytes, what waits to be sent and since when')
        .argument('<folder>', FOLDER)
        .option(
          '--json',
          'print {folder, kind, owner, epochs, cursor, segments, firstSequence, lastSequence, bytes, unsentRecords, oldestAtMs, oldestUnsentAtMs, newestAtMs, damage, quarantine}',
        )
        .addHelpText('after', '\nExample:\n  tributary spool inspect /var/lib/tributary/spool')
        .action(inspect),
    )
    .addCommand(
      new Command('fsck')
        .description('read every record and name each damage; opening the spool mends what can be mended')
        .argument('<folder>', FOLDER)
        .option('--json', 'print {folder, sound, records, bytesRead, damage: [{kind, file, …}], damageNotShown}')
        .addHelpText(
          'after',
          `
Exit codes: 0 sound, 1 damage that somebody should know of, 2 no spool there. A torn end that was never acknowledged, what was
trimmed and what its owner has told of already are named and count as sound.

Example, with the card of a Pi in a reader:
  tributary spool fsck /media/card/var/lib/tributary/spool`,
        )
        .action(fsck),
    )
    .addCommand(
      new Command('export')
        .description('write the readings that lie in a spool, sent or not, as text')
        .argument('<folder>', FOLDER)
        .addOption(
          new Option(
            '--format <format>',
            'ndjson: a line a sample; csv: a row a reading; raw: each batch as a file of its own',
          )
            .choices([...EXPORT_FORMATS, 'raw'])
            .default('ndjson'),
        )
        .option('--from <time>', 'measured at or after this time, such as 2026-05-01T08:00:00Z', time)
        .option('--to <time>', 'measured before this time', time)
        .option('--unsent', 'only batches that were not sent yet')
        .option('--output <path>', 'a new file instead of standard output; for raw a new or empty folder')
        .addHelpText(
          'after',
          `
A line of ndjson: {agent, epoch, batch, device, kind, time_ms, fields: {…}}; windows that stand for readings which had to be given up have
window_ms, and fields like temperature_c_mean. csv has the columns ${CSV_HEAD}.
Records that cannot be read are passed over (fsck names them); what is no batch is counted, and makes the exit code 1.

Examples:
  tributary spool export /media/card/spool --format csv --output readings.csv
  tributary spool export /var/lib/tributary/spool --from 2026-05-01T08:00:00Z --unsent | head
  tributary spool export /media/card/spool --format raw --output batches/`,
        )
        .action(exportReadings),
    )
}

function time(text: string): number {
  const ms = /^\d{12,}$/.test(text) ? Number(text) : Date.parse(text)
  if (Number.isNaN(ms))
    throw new InvalidArgumentError('must be a time such as 2026-05-01T08:00:00Z, or milliseconds since 1970.')
  return ms
}

const progress = () => createProgress(process.stderr, systemClock)
const at = (ms: number | null): string => (ms === null ? '–' : new Date(ms).toISOString())

async function inspect(folder: string, options: { json?: boolean }): Promise<void> {
  const inspection = await inspectSpool(folder)
  const { owner, epochs, cursor, segments, damage, quarantine, unsentRecords } = inspection
  const ends = await readEnds(folder, inspection)
  if (options.json) {
    const { folder: _, ...rest } = inspection
    printJson({ folder, kind: ends.kind, ...rest, owner: owner ?? null, cursor: cursor ?? null, ...ends.times })
    return
  }
  const { oldestAtMs, oldestUnsentAtMs, newestAtMs } = ends.times
  const whose = { agent: "an agent's spool", gateway: "a gateway's spool", unknown: 'a spool' }[ends.kind]
  const used = owner ? (owner.alive ? `in use by process ${owner.pid}` : `left by process ${owner.pid}`) : 'not in use'
  print(`${folder}: ${whose}, ${used}, ${bytes(inspection.bytes)} in ${count(segments.length)} segments`)
  print(
    `batches   ${count(inspection.firstSequence)} to ${count(inspection.lastSequence)}, from ${at(oldestAtMs)} to ${at(newestAtMs)}`,
  )
  const waiting =
    oldestUnsentAtMs === null
      ? ''
      : `, the oldest of ${at(oldestUnsentAtMs)} (${age(systemClock.wallMs() - oldestUnsentAtMs)} ago)`
  print(`unsent    ${count(unsentRecords)}${waiting}`)
  if (cursor) {
    const ranges = cursor.sentRanges.map(({ from, to }) => `${count(from)} to ${count(to)}`)
    print(
      `cursor    sent through ${count(cursor.sentThrough)}${ranges.length > 0 ? ` and ${ranges.join(', ')}` : ''}, trimmed through ${count(cursor.trimmedThrough)}, ${cursor.closed ? 'closed in order' : 'not closed'}`,
    )
  }
  for (const [i, { epoch, firstSequence }] of epochs.entries())
    print(`epoch     ${epoch} from ${count(firstSequence)}${i === epochs.length - 1 ? ' (present)' : ''}`)
  print('')
  print(
    table(
      ['segment', 'epoch', 'version', 'first', 'last', 'bytes'],
      segments.map((s) => [s.file, s.epoch || 'unknown', s.version, s.firstSequence, s.lastSequence, s.bytes]),
    ),
  )
  for (const { file, bytes: size } of quarantine) print(`set aside: quarantine/${file}, ${bytes(size)}`)
  for (const each of damage) print(damageText(each))
  if (damage.length > 0) print(`→ \`tributary spool fsck ${folder}\` reads all records and finds the rest`)
}

interface Ends {
  readonly kind: SpoolOwnerKind
  /** Null where no batch tells it. */
  readonly times: { oldestAtMs: number | null; oldestUnsentAtMs: number | null; newestAtMs: number | null }
}

/** When the oldest, the oldest unsent and the newest batch were made. Reads three places of the spool, not all of it. */
async function readEnds(folder: string, inspection: SpoolInspection): Promise<Ends> {
  const first = async (
    fromSequence: number,
    wanted: (sequence: number) => boolean,
  ): Promise<ReadRecord | undefined> => {
    for await (const { sequence, payload } of readSpool(folder, { fromSequence }))
      if (wanted(sequence)) return readRecord(payload)
    return undefined
  }
  const oldest = await first(1, () => true)
  const unsentFrom = (inspection.cursor?.sentThrough ?? 0) + 1
  const unsent = inspection.unsentRecords > 0 ? await first(unsentFrom, (s) => isUnsent(inspection, s)) : undefined
  const newest = inspection.lastSequence > 0 ? await first(inspection.lastSequence, () => true) : undefined
  return {
    kind: oldest?.owner ?? newest?.owner ?? 'unknown',
    times: {
      oldestAtMs: oldest?.atMs ?? null,
      oldestUnsentAtMs: unsent?.atMs ?? null,
      newestAtMs: newest?.atMs ?? null,
    },
  }
}

function damageText({
  kind,
  file,
  offset,
  bytes: size,
  fromSequence,
  toSequence,
  standing,
  detail,
}: SpoolDamage): string {
  const place =
    offset === undefined
      ? file
      : `${file} at byte ${count(offset)}${size === undefined ? '' : `, ${count(size)} bytes`}`
  const which =
    fromSequence === undefined
      ? ''
      : ` (sequences ${count(fromSequence)}${toSequence === undefined ? ' and on' : ` to ${count(toSequence)}`})`
  const who =
    standing === undefined
      ? ''
      : {
          trimmed: '; nobody needs them any more',
          reported: '; its owner has told of them',
          sent: '; the other end has them',
          unsent: '; they had not been sent',
        }[standing]
  return `${kind.replaceAll('_', ' ')}: ${place}${which}: ${detail}${who}`
}

async function fsck(folder: string, options: { json?: boolean }): Promise<void> {
  const shown = progress()
  const result = await checkSpool(folder, {
    onProgress: ({ segmentsRead, segments, bytesRead, bytes: all }) =>
      shown.say(() => `${segmentsRead} of ${segments} segments, ${bytes(bytesRead)} of ${bytes(all)} read`),
  })
  shown.done()
  const { sound, records, bytesRead, damage, damageNotShown, inspection } = result
  if (options.json) printJson({ folder, sound, records, bytesRead, damage, damageNotShown })
  else {
    for (const each of damage) print(damageText(each))
    if (damageNotShown > 0) print(`and ${count(damageNotShown)} more`)
    for (const { file, bytes: size } of inspection.quarantine)
      print(`set aside before: quarantine/${file}, ${bytes(size)}`)
    const whole = `${count(records)} whole records in ${count(inspection.segments.length)} segments, ${bytes(bytesRead)}`
    print(`${folder}: ${sound ? 'sound' : 'DAMAGED'}; ${whole}`)
    if (!sound)
      print(
        '→ the agent or gateway starts with it as it is: it passes over the damage and tells what was lost (see the ledger)',
      )
  }
  if (!sound) process.exitCode = 1
}
