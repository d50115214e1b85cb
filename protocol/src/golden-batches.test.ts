import { readdir, readFile } from 'node:fs/promises'
import { inflateSync } from 'node:zlib'
import protobuf from 'protobufjs'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Batch, FieldColumn } from './batch.ts'
import { BATCH_FORMAT_VERSION, decodeBatch, decodeHeader, encodeBatch } from './batch-codec.ts'
import { goldenBatchesOf, toReadableJson } from './golden-batches.ts'

const fixtures = (version: number) => new URL(`../fixtures/v${version}/`, import.meta.url)

/** Speaks `telemetry.proto` by reflection: none of our own code. */
let schema: protobuf.Root
beforeAll(async () => {
  schema = await new protobuf.Root().load(new URL('../proto/telemetry.proto', import.meta.url).pathname, {
    keepCase: true,
  })
})
type Plain = Record<string, unknown>
const parse = (message: string, bytes: Uint8Array): Plain => {
  const type = schema.lookupType(`tributary.v1.${message}`)
  return type.toObject(type.decode(bytes), { longs: Number, enums: String, arrays: true, defaults: true }) as Plain
}

const versions = Object.entries(goldenBatchesOf).map(([version, batches]) => ({ version: Number(version), batches }))

test('each format version up to the one that is written has golden files', () => {
  expect(versions.map(({ version }) => version)).toEqual(Array.from({ length: BATCH_FORMAT_VERSION }, (_, i) => i + 1))
})

test.each(versions)(
  'version $version: there is a golden file for each case, and no other',
  async ({ version, batches }) => {
    const files = Object.keys(batches).flatMap((name) => [`${name}.bin`, `${name}.json`])
    expect((await readdir(fixtures(version))).sort()).toEqual(files.sort())
  },
)

const cases = versions.flatMap(({ version, batches }) =>
  Object.entries(batches).map(([name, batch]) => ({ version, name, batch })),
)

// What deflate makes of the body may differ between versions of zlib and between processors; what goes in may not.
test.each(cases.filter(({ version }) => version === BATCH_FORMAT_VERSION))(
  '$name is encoded today to the bytes it was encoded to then',
  async ({ version, name, batch }) => {
    const bytes = await readFile(new URL(`${name}.bin`, fixtures(version)))
    const [then, today] = [parse('Envelope', bytes), parse('Envelope', encodeBatch(batch))]
    for (const part of ['magic', 'header_crc32', 'header', 'body_bytes_inflated']) {
      expect(then[part]).toBeDefined()
      expect(today[part]).toEqual(then[part])
    }
    expect(inflateSync(today['body'] as Uint8Array)).toEqual(inflateSync(then['body'] as Uint8Array))
  },
)

describe.each(cases)('version $version: $name', ({ version, name, batch }) => {
  const fixture = (file: string) => readFile(new URL(file, fixtures(version)))

  test('decodes to what it always decoded to', async () => {
    const bytes = await fixture(`${name}.bin`)
    expect(decodeBatch(bytes)).toStrictEqual(batch)
    const readable: unknown = JSON.parse(toReadableJson(asVersion(version, decodeBatch(bytes))))
    expect(readable).toEqual(JSON.parse(await fixture(`${name}.json`).then(String)))
    expect(decodeHeader(bytes)).toStrictEqual(batch.header)
  })

  test('can be read with telemetry.proto alone', async () => {
    const envelope = parse('Envelope', await fixture(`${name}.bin`))
    const { header } = batch
    expect(envelope['header']).toEqual({
      format_version: header.formatVersion,
      agent: header.agent,
      epoch: Buffer.from(header.epoch, 'hex'),
      sequence: header.sequence,
      lane: header.lane.toUpperCase(),
      created_at_ms: header.createdAtMs,
      complete_through_ms: header.completeThroughMs,
      boot_id: header.bootId,
      clock_quality: header.clockQuality.toUpperCase(),
      sample_count: header.sampleCount,
      reading_count: header.readingCount,
      readings_total: header.readingsTotal,
      backlog_batches: header.backlogBatches,
      backlog_bytes: header.backlogBytes,
      drain_seconds: header.drainSeconds,
      monotonic_ms: header.monotonicMs,
    })
    const inflated = inflateSync(envelope['body'] as Uint8Array)
    expect(inflated.length).toBe(envelope['body_bytes_inflated'])
    const body = parse('Body', inflated)
    expect(list(body['blocks']).map(blockAsDocumented)).toStrictEqual(
      batch.blocks.map((block) => ({
        device: block.device,
        kind: block.kind,
        stampedByAgent: block.stampedByAgent === true,
        timesMs: [...block.timesMs],
        columns: block.columns.map(({ field, type, present, values }) => ({
          field,
          type,
          values: [...(values as ArrayLike<number | string> & Iterable<number | string>)].filter(
            (_, i) => present?.[i] !== 0,
          ),
        })),
      })),
    )
    expect(list(body['dead_letters'])).toEqual(
      batch.deadLetters.map((letter) => ({
        input: letter.input,
        device: letter.device,
        reason: letter.reason,
        detail: letter.detail,
        received_at_ms: letter.receivedAtMs,
        original: Buffer.from(letter.original),
        original_bytes: letter.originalBytes,
        reading_count: letter.readingCount,
      })),
    )
    expect(list(body['tombstones'])).toEqual(
      batch.tombstones.map((stone) => ({
        epoch: Buffer.from(stone.epoch, 'hex'),
        from_sequence: stone.fromSequence,
        to_sequence: stone.toSequence,
        reading_count: stone.readingCount,
        reason: stone.reason,
      })),
    )
    expect(list(body['rollups']).map(rollupAsDocumented)).toStrictEqual(
      batch.rollups.map((block) => ({
        ...block,
        timesMs: [...block.timesMs],
        columns: block.columns.map((column) =>
          Object.fromEntries(
            Object.entries(column).map(([key, value]) => [key, typeof value === 'string' ? value : [...value]]),
          ),
        ),
      })),
    )
  })
})

/** Without what later versions added, which must be nothing. */
function asVersion(version: number, batch: Batch): Batch {
  if (version >= 2) return batch
  const { rollups, ...rest } = batch
  const { monotonicMs, ...header } = batch.header
  expect([monotonicMs, rollups]).toEqual([0, []])
  return { ...rest, header } as Batch
}

const list = (repeated: unknown): Plain[] => (repeated ?? []) as Plain[]
const numbersIn = (repeated: unknown): number[] => (repeated ?? []) as number[]

/** Times of a block by the words of the comments in telemetry.proto. */
function timesAsDocumented(block: Plain, count: number): number[] {
  if (count === 0) return []
  let timesMs = numbersIn(block['times_ms'])
  if (timesMs.length === 0) {
    timesMs = [block['first_time_ms'] as number]
    let interval = 0
    for (const step of numbersIn(block['time_steps'])) {
      interval += step
      timesMs.push((timesMs.at(-1) as number) + interval)
    }
  }
  expect(timesMs).toHaveLength(count)
  return timesMs
}

function blockAsDocumented(block: Plain) {
  const count = block['sample_count'] as number
  return {
    device: block['device'],
    kind: block['kind'],
    stampedByAgent: block['stamped_by_agent'],
    timesMs: timesAsDocumented(block, count),
    columns: list(block['columns']).map((c) => columnAsDocumented(c, count)),
  }
}

function rollupAsDocumented(block: Plain) {
  const count = block['window_count'] as number
  return {
    device: block['device'],
    kind: block['kind'],
    widthMs: block['width_ms'],
    fromSequence: block['from_sequence'],
    toSequence: block['to_sequence'],
    ...(block['stamped_by_agent'] ? { stampedByAgent: true } : {}),
    timesMs: timesAsDocumented(block, count),
    columns: list(block['columns']).map((column) => {
      const statistic = (name: string) => columnAsDocumented(column[name] as Plain, count)
      const { type, values: lasts } = statistic('lasts')
      const names = {
        number: {
          sums: 'sums',
          spreads: 'spreads',
          minimums: 'minimums',
          maximums: 'maximums',
        },
        boolean: { trueCounts: 'true_counts' },
        string: {},
      }[type]
      return {
        field: column['field'],
        type,
        counts: statistic('counts').values,
        lastOffsetsMs: statistic('last_offsets_ms').values,
        lasts,
        ...Object.fromEntries(Object.entries(names).map(([ours, theirs]) => [ours, statistic(theirs).values])),
      }
    }),
  }
}

function columnAsDocumented(
  column: Plain,
  sampleCount: number,
): { field: unknown; type: FieldColumn['type']; values: unknown[] } {
  const bit = (bits: Uint8Array, i: number) => ((bits[i >>> 3] as number) >>> (i & 7)) & 1
  const present = column['present'] as Uint8Array
  const flags = Array.from({ length: sampleCount }, (_, i) => (present.length === 0 ? 1 : bit(present, i)))
  const presentCount = flags.filter(Boolean).length
  const { field } = column
  const form = (name: string) => column[name] as Plain | undefined
  const decimals = form('decimals')
  if (decimals) {
    let sum = decimals['base'] as number
    const power = 10 ** (decimals['decimals'] as number)
    const values = numbersIn(decimals['deltas']).map((delta) => {
      sum += delta
      return sum / power
    })
    return { field, type: 'number', values }
  }
  const doubles = form('floats') ?? form('doubles')
  if (doubles) return { field, type: 'number', values: numbersIn(doubles['values']) }
  const booleans = form('booleans')
  if (booleans) {
    const bits = booleans['bits'] as Uint8Array
    return { field, type: 'boolean', values: Array.from({ length: presentCount }, (_, i) => bit(bits, i)) }
  }
  const entries = (form('strings')?.['entries'] ?? []) as string[]
  const indices = numbersIn(form('strings')?.['indices'])
  return { field, type: 'string', values: indices.length > 0 ? indices.map((i) => entries[i]) : entries }
}
