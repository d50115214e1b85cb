/** What the device registry adds to a sample and to what is said of it. */
import type { AlertTransition } from './alerts/index.ts'
import { type DeviceRecord, placementAt } from './device-record.ts'

/** The registry as one partition sees it now. */
export type FindDevice = (device: string) => DeviceRecord | undefined

/** The registry's site at that time, else that of the gateway through which the device reports. */
export const siteAt = (record: DeviceRecord | undefined, timeMs: number, subjectSite: string): string =>
  placementAt(record, timeMs)?.site ?? subjectSite

/** A message that says where to go: "Pump 3 (line 2, north hall): Vibration velocity: 7.3 mm/s, 0.2 above the limit 7.1". */
export function enrichTransition(find: FindDevice, transition: AlertTransition): AlertTransition {
  const entry = placementAt(find(transition.device), transition.atMs)
  if (entry === undefined || transition.message === '') return transition
  const place = [entry.line === '' ? '' : `line ${entry.line}`, entry.location].filter((text) => text !== '').join(', ')
  const who = `${entry.name || transition.device}${place === '' ? '' : ` (${place})`}`
  return { ...transition, message: `${who}: ${transition.message}` }
}
