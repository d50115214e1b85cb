/** What a device can say that no device should: everything is refused or stored under its own name, and nothing else suffers. */
import { readFile } from 'node:fs/promises'
import { systemClock } from '@tributary/runtime'
import mqtt from 'mqtt'
import { expect, test } from 'vitest'
import { expectBalanced, withPipeline } from './harness/with-pipeline.ts'

const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`
const strange = (fields: Record<string, unknown>) =>
  JSON.stringify({ device: 'stranger-1', kind: 'climate', sequence: 1, temperature_c: 20, ...fields })
const now = 1_780_000_000_000

const messages: readonly (string | Buffer)[] = [
  deep,
  `{"device":"stranger-1","temperature_c":1,"deep":${deep}}`,
  `{"device":${deep}}`,
  '{"device":"stranger-1","__proto__":{"x":1},"constructor":1,"prototype":2,"temperature_c":3,"temperature_c":4}',
  strange({ kind: 'constructor' }),
  strange({ kind: '__proto__' }),
  strange({ device: 'constructor' }),
  '{"device":"stranger-1","kind":"climate","temperature_c":1e400}',
  strange({ sequence: 2 ** 53, time_ms: now }),
  strange({ sequence: -1, time_ms: now }),
  ...[Number.NaN, '1780000000000', -1, 0, 1_780_000_000, now * 1_000, now * 1_000_000, true, [], {}].map((time_ms) =>
    strange({ time_ms }),
  ),
  ...[1_000_000_000_001, 4_102_444_799_999].map((time_ms) => strange({ time_ms })),
  '',
  'null',
  '[]',
  '[[],[[]],{}]',
  '"text"',
  Buffer.of(0xff, 0xfe, 0x00, 0x7b),
  Buffer.alloc(1024 * 1024, 0x7b),
  JSON.stringify(Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`f${i}`, i]))),
]

test('hostile messages end no process and cost no other reading', { timeout: 180_000 }, () =>
  withPipeline({ ratePerSecond: 500, seed: 21 }, async (pipeline, folder) => {
    const config = await readFile(`${folder}/agent-2.yaml`, 'utf8')
    const broker = /name: sensors[\s\S]*?url: (\S+)/.exec(config)?.[1] as string
    const before = pipeline.processes.map(({ name, pid }) => `${name} ${pid}`)
    const client = await mqtt.connectAsync(broker)
    for (const [i, message] of messages.entries())
      await client.publishAsync('sensors/pump-2/sample', message, { qos: (i % 3) as 0 | 1 | 2 })
    await client.endAsync()
    await systemClock.sleep(5_000)
    const { ledger } = await expectBalanced(pipeline)
    expect(ledger.produced).toBeGreaterThan(2_000)
    expect(pipeline.processes.map(({ name, pid }) => `${name} ${pid}`)).toEqual(before)
  }),
)
