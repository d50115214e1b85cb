/** The sink and `tributary init` with InfluxDB 2.x: the same for the real server and for the one on the wire. */
import { createLogger, systemClock, UserError } from '@tributary/runtime'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { processorConfigSchema } from './config.ts'
import { createInfluxSink, PartialWriteError } from './influx-sink.ts'
import { fieldKey, LineBuffer, linePrefix } from './line-protocol.ts'
import { provisionInflux } from './provision-influx.ts'

export interface Influx2Target {
  readonly url: string
  readonly org: string
  /** May do everything. */
  readonly token: string
  /** A token that may read and write the two buckets of a database, and nothing else. */
  narrowToken(database: string): Promise<string>
  /** How many points a measurement has in the bucket `<database>/<policy>`. */
  count(database: string, policy: string, measurement: string): Promise<number>
  dropBucket(name: string): Promise<void>
  stop(): Promise<void>
}

const VALUE = fieldKey('value')
const NOW_MS = systemClock.wallMs()
const signal = () => AbortSignal.timeout(20_000)

/** A line a value, each of a series of its own; undefined gives something that is no line. */
function linesOf(measurement: string, values: readonly (number | string | undefined)[], timeMs = NOW_MS): LineBuffer {
  const lines = new LineBuffer(1024)
  for (const [i, value] of values.entries()) {
    const prefix = linePrefix(measurement, { device: `device-${i}` })
    lines.begin(prefix)
    if (typeof value === 'string') lines.string(VALUE, value)
    else lines.float(VALUE, value ?? 1, 100)
    lines.end(prefix, timeMs + i, 1, 0)
    if (value === undefined) lines.line(i)[lines.line(i).indexOf('='.charCodeAt(0), prefix.length)] = 0x20
  }
  return lines
}
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

export function describeInflux2(name: string, start: () => Promise<Influx2Target>): void {
  describe(name, () => {
    let target: Influx2Target
    let database = 'river0'
    let count = 0
    beforeAll(async () => {
      target = await start()
    }, 60_000)
    afterAll(() => target?.stop())
    beforeEach(() => {
      count += 1
      database = `river${count}`
    })

    const influxOf = (changes: object = {}) =>
      processorConfigSchema.shape.influx.parse({
        ...{ url: target.url, org: target.org, token: target.token, database, rollup_retention: '1h', timeout: '5s' },
        ...changes,
      })
    function createSink(changes: object = {}) {
      const said: { level: string; hint?: string; msg: string }[] = []
      const log = createLogger('test', 'info', { write: (line: string) => said.push(JSON.parse(line)) })
      const { rollup_retention: rollupRetention, timeout: timeoutMs, ...influx } = influxOf(changes)
      const more = { rollupRetention, timeoutMs, linesPerRequest: 1_000, backoff: { firstMs: 20, maxMs: 100 } }
      const sink = createInfluxSink({ ...influx, ...more }, { clock: systemClock, log })
      return Object.assign(sink, { complaints: () => said.filter(({ level }) => level !== 'info') })
    }
    async function init(changes: object = {}) {
      const outcomes: string[] = []
      const note = (one: { what: string; name: string; outcome: string }) =>
        outcomes.push(`${one.what} ${one.name}: ${one.outcome}`)
      await provisionInflux(influxOf(changes), { dryRun: false, signal: signal() }, note)
      return outcomes
    }
    const refused = (work: Promise<void>): Promise<[number, string][]> =>
      work.then(
        () => [],
        (error: unknown) => {
          if (!(error instanceof PartialWriteError)) throw error
          return [...error.rejected]
            .map(([line, { reason }]): [number, string] => [line, reason])
            .sort((a, b) => a[0] - b[0])
        },
      )

    test('both buckets are made, written, and found; writing again changes nothing', async () => {
      const sink = createSink()
      await sink.prepare(signal())
      for (const _ of [1, 2]) await sink.write(linesOf('plain', upTo(2_500)), 'raw', signal())
      await sink.write(linesOf('plain_10s', [1, 2]), 'rollup', signal())
      expect(await target.count(database, 'autogen', 'plain')).toBe(2_500)
      expect(await target.count(database, 'rollup', 'plain_10s')).toBe(2)
      expect(sink.status()).toMatchObject({ version: '2.7.12', ok: true })
      expect(sink.complaints()).toEqual([])
      expect(await init()).toEqual([
        `bucket ${database}/autogen: exists`,
        `InfluxQL name ${database}.autogen: exists`,
        `bucket ${database}/rollup: exists`,
        `InfluxQL name ${database}.rollup: exists`,
      ])
      await sink.close()
    })

    test('several make it at the same time: it is made once, and none fails', async () => {
      const sinks = [createSink(), createSink(), createSink()]
      await Promise.all([...sinks.map((sink) => sink.write(linesOf('plain', [1]), 'raw', signal())), init(), init()])
      expect(sinks.flatMap((sink) => sink.complaints())).toEqual([])
      expect((await init()).every((outcome) => outcome.endsWith(': exists'))).toBe(true)
      expect(await target.count(database, 'autogen', 'plain')).toBe(1)
      await Promise.all(sinks.map((sink) => sink.close()))
    })

    test('conflicts, malformed lines, what is too old and too long: exactly these are refused', async () => {
      const sink = createSink()
      await sink.write(linesOf('m', [1], NOW_MS - 60_000), 'raw', signal())
      const values: (number | string | undefined)[] = upTo(200)
      for (const bad of [7, 8, 150]) values[bad] = 'text'
      expect(await refused(sink.write(linesOf('m', values), 'raw', signal()))).toEqual([
        [7, 'field_type_conflict'],
        [8, 'field_type_conflict'],
        [150, 'field_type_conflict'],
      ])
      values[9] = undefined
      values[199] = undefined
      expect(await refused(sink.write(linesOf('m', values, NOW_MS + 60_000), 'raw', signal()))).toEqual([
        [7, 'field_type_conflict'],
        [8, 'field_type_conflict'],
        [9, 'malformed_line'],
        [150, 'field_type_conflict'],
        [199, 'malformed_line'],
      ])
      expect(await target.count(database, 'autogen', 'm')).toBe(1 + 197 + 195)

      const old = linesOf('o', upTo(1_000), NOW_MS - 86_400_000)
      const writtenBefore = sink.linesWritten
      expect(await refused(sink.write(old, 'rollup', signal()))).toHaveLength(1_000)
      expect(sink.linesWritten).toBe(writtenBefore)
      const prefix = linePrefix('o', { device: 'young' })
      old.begin(prefix)
      old.float(VALUE, 1, 1)
      old.end(prefix, NOW_MS, 1, 0)
      expect((await refused(sink.write(old, 'rollup', signal()))).at(-1)).toEqual([999, 'out_of_retention'])
      expect(await target.count(database, 'rollup', 'o')).toBe(1)

      expect(await refused(sink.write(linesOf('s', ['a', 'x'.repeat(1_100_000), 'b']), 'raw', signal()))).toEqual([
        [1, 'refused'],
      ])
      expect(await target.count(database, 'autogen', 's')).toBe(2)
      await sink.close()
    })

    test('a refusal says what InfluxDB said and what to do', async () => {
      const sink = createSink()
      await sink.write(linesOf('m', [1], NOW_MS - 60_000), 'raw', signal())
      const error = (await sink
        .write(linesOf('m', ['a']), 'raw', signal())
        .catch((e: unknown) => e)) as PartialWriteError
      expect(error.rejected.get(0)?.detail).toMatch(
        /field type conflict: input field "value" on measurement "m" is type string, already exists as type float.* → .*rename it in the contract/,
      )
      await sink.close()
    })

    test('a bucket that somebody dropped is made again, and that is said', async () => {
      const sink = createSink()
      await sink.write(linesOf('before', [1]), 'raw', signal())
      await target.dropBucket(`${database}/autogen`)
      await sink.write(linesOf('after', [1, 2]), 'raw', signal())
      expect(await target.count(database, 'autogen', 'after')).toBe(2)
      expect(sink.complaints()).toMatchObject([{ level: 'error', hint: expect.stringMatching(/restore a backup/) }])
      await sink.close()
    })

    test('a token that may read and write both buckets, and nothing else, is enough', async () => {
      await init()
      const token = await target.narrowToken(database)
      const sink = createSink({ token })
      await sink.prepare(signal())
      await sink.write(linesOf('narrow', [1, 2, 3]), 'raw', signal())
      expect(await target.count(database, 'autogen', 'narrow')).toBe(3)
      expect(sink.complaints()).toEqual([])
      await target.dropBucket(`${database}/rollup`)
      const stop = new AbortController()
      const lost = sink.write(linesOf('narrow_10s', [1]), 'rollup', stop.signal).catch(() => 'stopped')
      while (sink.retries < 2) await systemClock.sleep(5)
      expect(sink.status().error).toMatch(/bucket ".*\/rollup" not found; the token may not make buckets/)
      expect(sink.complaints().at(-1)?.hint).toMatch(/tributary init/)
      stop.abort()
      expect(await lost).toBe('stopped')
      await sink.close()
      await expect(init({ token, database: 'elsewhere' })).rejects.toThrow(/the token may not make buckets/)
    })

    test.each([
      ['an unknown token', { token: 'unknown' }, /answered 401: unauthorized access/, /influx.token/],
      [
        'an unknown organisation',
        { org: 'nobody' },
        /answered 404: organization name "nobody" not found/,
        /influx.org/,
      ],
    ])('%s: said with what to do, by the sink and by init; nothing is lost', async (_, changes, message, hint) => {
      const sink = createSink(changes)
      const stop = new AbortController()
      const written = sink.write(linesOf('m', [1]), 'raw', stop.signal).catch(() => 'stopped')
      while (sink.retries < 3) await systemClock.sleep(5)
      expect(sink.status()).toMatchObject({ ok: false, error: expect.stringMatching(message) })
      expect(sink.complaints()).toMatchObject([{ level: 'error', hint: expect.stringMatching(hint) }])
      stop.abort()
      expect(await written).toBe('stopped')
      await sink.close()
      await expect(init(changes)).rejects.toBeInstanceOf(UserError)
    })
  })
}
