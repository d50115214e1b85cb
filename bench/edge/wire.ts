/** Bytes on the wire a reading, of the batches as an agent makes them, and of the same samples as JSON over MQTT. */
import { strict as assert } from 'node:assert'
import { join } from 'node:path'
import { fillSpool } from '@tributary/edge-agent/testing'
import { loadScenario, type Run } from '@tributary/firmware-sim'
import { decodeBatch, mqttTopic } from '@tributary/protocol'
import { systemClock } from '@tributary/runtime'
import { readSpool } from '@tributary/spool'
import { simulatedSamples } from '@tributary/stack'
import type { Report } from '../report.ts'

const SECONDS = 600
const RATE = 1_000
const AGENT = 'agent-1'

/** A PUBLISH of QoS 1: type and length, topic, message id, payload. Source: MQTT 3.1.1, section 3.3. */
function publishBytes(topic: string, payloadBytes: number): number {
  const rest = 2 + Buffer.byteLength(topic) + 2 + payloadBytes
  return 1 + (rest < 128 ? 1 : rest < 16_384 ? 2 : rest < 2_097_152 ? 3 : 4) + rest
}

export async function wire(folder: string, report: Report): Promise<void> {
  const scenario = await loadScenario('steady')
  const run: Run = { seed: 1, startedAtMs: Date.UTC(2026, 4, 1), rate: RATE, scenario, firstSequences: {} }
  const spool = join(folder, 'wire')
  const segmentBytesMax = 8 * 1024 ** 2
  const filled = await fillSpool(
    spool,
    simulatedSamples(run, run.startedAtMs + SECONDS * 1000),
    {
      agent: AGENT,
      bootId: 'bench',
      readingsPerBatch: RATE,
      spool: { segmentBytesMax, bytesMax: 8 * segmentBytesMax },
    },
    systemClock,
  )
  let batchBytes = 0
  const stored = new Map<string, string>()
  for await (const { payload } of readSpool(spool)) {
    batchBytes += publishBytes(mqttTopic(AGENT, 'batch'), payload.length)
    for (const { device, timesMs, columns } of decodeBatch(payload).blocks)
      for (let i = 0; i < timesMs.length; i++) {
        const fields = columns.filter(({ present }) => present?.[i] !== 0)
        const values = fields.map(({ field, type, values: v }) => [field, type === 'boolean' ? v[i] === 1 : v[i]])
        stored.set(`${device} ${timesMs[i]}`, JSON.stringify(Object.fromEntries(values)))
      }
  }
  let jsonBytes = 0
  let readings = 0
  for (const { device, measuredAtMs, names, values } of simulatedSamples(run, run.startedAtMs + SECONDS * 1000)) {
    const fields = Object.fromEntries(names.map((name, i) => [name, values[i]]))
    const payload = JSON.stringify({ time_ms: measuredAtMs, ...fields })
    jsonBytes += publishBytes(`sensors/${device}/sample`, Buffer.byteLength(payload))
    readings += names.length
    assert.equal(stored.get(`${device} ${measuredAtMs}`), JSON.stringify(fields))
  }
  assert.equal(filled.readings, readings)
  const [own, json] = [batchBytes / readings, jsonBytes / readings]
  report.figure({
    what: `bytes on the wire a reading, ${filled.batches} batches of ${RATE} readings of eight simulated devices`,
    value: own,
    unit: 'bytes',
    budget: 4,
    beside: `a JSON message a sample over MQTT ${json.toFixed(1)} bytes, ${(json / own).toFixed(0)} times as much; all values equal`,
  })
}
