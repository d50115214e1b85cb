/** InfluxDB 2.x as its API is documented, on the wire; 1.x is tested with the real server in e2e/init.test.ts. */
import { UserError } from '@tributary/runtime'
import { afterEach, expect, test } from 'vitest'
import { processorConfigSchema } from './config.ts'
import { type Influx2, type Mapping, startInflux2 } from './influx2-harness.ts'
import type { Provision } from './make-missing.ts'
import { provisionInflux } from './provision-influx.ts'

let influx: Influx2
afterEach(() => influx.close())

const influxAt = (url: string, more: object = {}) =>
  processorConfigSchema.shape.influx.parse({ url, org: 'works', token: 'all-access', rollup_retention: '90d', ...more })

async function run(url: string, { dryRun = false, ...more }: { dryRun?: boolean; [key: string]: unknown } = {}) {
  const done: Provision[] = []
  const signal = AbortSignal.timeout(10_000)
  await provisionInflux(influxAt(url, more), { dryRun, signal }, (one) => void done.push(one))
  return done
}
const outcomesOf = (done: readonly Provision[]) => done.map(({ what, name, outcome }) => `${what} ${name}: ${outcome}`)

test('2.x: buckets and their InfluxQL names are made once', async () => {
  influx = await startInflux2()
  const { url } = influx
  expect(outcomesOf(await run(url, { dryRun: true }))).toEqual([
    'bucket tributary/autogen: would create',
    'InfluxQL name tributary.autogen: would create',
    'bucket tributary/rollup: would create',
    'InfluxQL name tributary.rollup: would create',
  ])
  expect(influx.posts).toBe(0)
  expect((await run(url)).map(({ outcome }) => outcome)).toEqual(['created', 'created', 'created', 'created'])
  expect(influx.buckets).toEqual([
    { id: 'b0', orgID: '0a1b', name: 'tributary/autogen', retentionRules: [] },
    {
      id: 'b1',
      orgID: '0a1b',
      name: 'tributary/rollup',
      retentionRules: [{ type: 'expire', everySeconds: 7_776_000 }],
    },
  ])
  expect(influx.mappings).toEqual([
    { orgID: '0a1b', bucketID: 'b0', database: 'tributary', retention_policy: 'autogen', default: true },
    { orgID: '0a1b', bucketID: 'b1', database: 'tributary', retention_policy: 'rollup', default: false },
  ])
  expect((await run(url)).map(({ outcome }) => outcome)).toEqual(['exists', 'exists', 'exists', 'exists'])
  expect(influx.posts).toBe(4)
})

test('2.x: another retention and a name that means another bucket are said and left alone', async () => {
  influx = await startInflux2()
  const { url } = influx
  await run(url)
  ;(influx.mappings[1] as Mapping).bucketID = 'elsewhere'
  const done = await run(url, { rollup_retention: undefined })
  expect(done.map(({ outcome }) => outcome)).toEqual(['exists', 'exists', 'differs', 'differs'])
  expect(done[2]?.detail).toContain('it keeps 7776000 s, the config says for ever')
  expect(done[3]?.detail).toContain('it means bucket elsewhere, not b1')
  expect(influx.posts).toBe(4)
})

test('2.x: a bucket that was there before gets the InfluxQL name that queries need', async () => {
  influx = await startInflux2()
  influx.buckets.push({ id: 'b0', orgID: '0a1b', name: 'tributary/autogen', retentionRules: [] })
  expect((await run(influx.url, { dryRun: true })).map(({ outcome }) => outcome)).toEqual([
    ...['exists', 'would create', 'would create', 'would create'],
  ])
  expect((await run(influx.url)).map(({ outcome }) => outcome)).toEqual(['exists', 'created', 'created', 'created'])
  expect(influx.mappings[0]).toMatchObject({ bucketID: 'b0', retention_policy: 'autogen', default: true })
  ;(influx.mappings[0] as Mapping).default = false
  expect((await run(influx.url))[1]).toMatchObject({
    outcome: 'differs',
    detail: 'it is not the default of the database: `influx v1 dbrp update --default` makes it that',
  })
})

test.each([
  ['a token that may not', { token: 'read-only' }, /answered 401/, /token \(2.x, 3\) that may create/],
  [
    'an organisation that is not there',
    { org: 'nobody' },
    /answered 404.*organization name ."nobody." not found/,
    /influx.org/,
  ],
])('2.x: %s: says so', async (_, more, message, hint) => {
  influx = await startInflux2()
  const { url } = influx
  const failure = await run(url, more).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(UserError)
  expect((failure as UserError).message).toMatch(message)
  expect((failure as UserError).hint).toMatch(hint)
})

test('nothing answers: says where', async () => {
  influx = await startInflux2()
  const { url } = influx
  await influx.close()
  await expect(run(url)).rejects.toThrow(`InfluxDB at ${url} cannot be reached`)
})
