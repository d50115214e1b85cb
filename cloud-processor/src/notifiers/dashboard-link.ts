/** The dashboard of what an alert is about, at that time; Grafana and the viewer understand the same address. */
import { FLEET_DASHBOARD_UID, kindUid } from '@tributary/protocol'
import type { AlertTransition } from '../alerts/episode.ts'

/** So much is shown before the beginning and after what is known. */
const AROUND_MS = 15 * 60_000

/**
 * @param base address of Grafana or the viewer, with or without a path
 * @returns '' without a base
 */
export function dashboardLink(base: string, transition: AlertTransition): string {
  if (base === '') return ''
  const { kind, site, device, startedAtMs, atMs } = transition
  const query = new URLSearchParams({
    from: String(startedAtMs - AROUND_MS),
    to: String(Math.max(startedAtMs, atMs) + AROUND_MS),
  })
  if (site !== '*') query.set('var-site', site)
  if (device !== '*') query.set('var-device', device)
  return `${base.replace(/\/+$/, '')}/d/${kind === '' ? FLEET_DASHBOARD_UID : kindUid(kind)}?${query}`
}
