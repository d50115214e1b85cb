/** What the device registry adds to a sample and to what is said of it. */
import type { AlertTransition } from './alerts/index.ts'
import type { DeviceEntry } from './device-registry.ts'

/** The part of the registry that `step` needs. */
export type FindDevice = (device: string) => DeviceEntry | undefined

/** The registry's site, else that of the gateway through which the device reports. */
export const siteOf = (find: FindDevice, device: string, subjectSite: string): string =>
  find(device)?.site ?? subjectSite

/** A message that says where to go: "Pump 3 (line 2, north hall): Vibration velocity: 7.3 mm/s, 0.2 above the limit 7.1". */
export function enrichTransition(find: FindDevice, transition: AlertTransition): AlertTransition {
  const entry = find(transition.device)
  if (entry === undefined || transition.message === '') return transition
  const place = [entry.line === '' ? '' : `line ${entry.line}`, entry.location].filter((text) => text !== '').join(', ')
  const who = `${entry.name || transition.device}${place === '' ? '' : ` (${place})`}`
  return { ...transition, message: `${who}: ${transition.message}` }
}
