/** What the simulator's devices would measure, without devices and without waiting. */
import { createDeviceModels, type FieldValue, type Run } from '@tributary/firmware-sim'

/** As an agent takes it in. */
export interface SimulatedSample {
  readonly device: string
  readonly kind: string
  readonly measuredAtMs: number
  readonly sequence: number
  /** Field names and, at the same places, values. */
  readonly names: readonly string[]
  readonly values: readonly FieldValue[]
}

/** Samples of all devices in the order of their times. @param untilMs measured before this time */
export function* simulatedSamples(run: Run, untilMs: number): Generator<SimulatedSample, void, undefined> {
  const devices = createDeviceModels(run).map((model) => ({
    model,
    sequence: model.firstSequence,
    timeMs: model.timeMsOf(model.firstSequence),
  }))
  for (;;) {
    let first = devices[0] as (typeof devices)[number]
    for (const each of devices) if (each.timeMs < first.timeMs) first = each
    if (first.timeMs >= untilMs) return
    const { device, kind, sequence, timeMs, fields, values } = first.model.sample(first.sequence)
    first.sequence += 1
    first.timeMs = first.model.timeMsOf(first.sequence)
    yield { device, kind, measuredAtMs: timeMs, sequence, names: fields, values }
  }
}
