/** By which the dashboards are found, in Grafana and in the viewer: part of links that people keep. */
export const FLEET_DASHBOARD_UID = 'tributary-fleet'
/** Of the dashboard of a kind. Grafana takes at most 40 characters. */
export const kindUid = (kind: string): string => `tributary-${kind.replaceAll('_', '-')}`.slice(0, 40)
