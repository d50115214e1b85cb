/** What the device registry adds to a sample and to what is said of it. */
import type { AlertTransition } from './alerts/index.ts'
import { type DeviceRecord, placementAt } from './device-record.ts'

/** The registry as one partition sees it now. */
export type FindDevice = (device: string) => DeviceRecord | undefined

/** The registry's site at that time, else that of the gateway through which the device reports. */
export const siteAt = (record: DeviceRecord | undefined, timeMs: number, subjectSite: string): string =>
  placementAt(record, timeMs)?.site ?? subjectSite

/** Its place, and a message that says where to go: "Pump 3 (line 2, north hall): Vibration velocity: 7.3 mm/s, 0.2 above the limit 7.1". */
export function enrichTransition(find: FindDevice, transition: AlertTransition): AlertTransition {
  const entry = placementAt(find(transition.device), transition.atMs)
  if (entry === undefined) return transition
  const { name, line, location } = entry
  const where = [line === '' ? '' : `line ${line}`, location].filter((text) => text !== '').join(', ')
  const who = `${name || transition.device}${where === '' ? '' : ` (${where})`}`
  const message = transition.message === '' ? '' : `${who}: ${transition.message}`
  return { ...transition, message, place: { name, line, location } }
}
