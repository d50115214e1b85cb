/** By which the dashboards that are of no kind are found; that of the fleet is in `protocol`. */
export const ACCOUNT_UID = 'tributary-account'
export const PIPELINE_UID = 'tributary-pipeline'
export const ALERTS_UID = 'tributary-alerts'
