/** What the simulator's devices would measure, without devices: samples in the order of their times, as an agent takes them in. */
import type { Sample } from '@tributary/edge-agent/testing'
import { createDeviceModels, type Run } from '@tributary/firmware-sim'

/** @param readings at least so many in all */
export function* simulatedSamples(run: Run, readings: number): Generator<Sample, void, undefined> {
  const models = createDeviceModels(run).map((model) => ({ model, next: model.firstSequence }))
  for (let made = 0; made < readings; ) {
    let first = models[0] as (typeof models)[number]
    for (const each of models) if (each.model.timeMsOf(each.next) < first.model.timeMsOf(first.next)) first = each
    const { device, kind, sequence, timeMs, fields, values } = first.model.sample(first.next)
    first.next += 1
    made += fields.length
    yield { device, kind, measuredAtMs: timeMs, sequence, names: fields, values }
  }
}
