/** What the simulator says about itself: `/status`, and `simulator.json` once everything listens. */
import type { LinkStatus } from './link.ts'
import type { MeasuringDevice } from './measuring-device.ts'
import type { SiteBroker } from './site-broker.ts'

export interface DeviceStatus extends LinkStatus {
  readonly kind: string
  readonly samples: number
  readonly readings: number
  readonly lastSequence: number
  readonly lostSamples: number
}

export interface SimulatorStatus {
  readonly measuring: boolean
  readonly scenario: string
  readonly seed: number
  readonly startedAtMs: number
  /** As asked for. */
  readonly readingsPerSecond: number
  readonly producedSamples: number
  readonly producedReadings: number
  /** Readings that the contract must refuse. */
  readonly refusedReadings: number
  /** Lost on the line or at the device; the ledger says which and why. */
  readonly lostSamples: number
  /** Kept by devices, and messages in the broker that their session has not acknowledged: 0 when everything has arrived. */
  readonly unacknowledgedSamples: number
  /** How late the last tick was. */
  readonly behindMs: number
  readonly broker: ReturnType<SiteBroker['status']>
  readonly devices: Readonly<Record<string, DeviceStatus>>
}

/** What `<data-dir>/simulator.json` says once everything listens. */
export interface SimulatorState {
  readonly mqttUrl: string
  readonly ports: Readonly<Record<string, string>>
  readonly adminUrl: string
  readonly ledgerFolder: string
  readonly seed: number
  readonly startedAtMs: number
}

export const deviceStatus = ({ model, link, counts, nextSequence }: MeasuringDevice): DeviceStatus => ({
  kind: model.deviceClass.kind,
  samples: counts.samples,
  readings: counts.readings,
  lastSequence: nextSequence - 1,
  lostSamples: counts.lostSamples,
  ...link.status(),
})
