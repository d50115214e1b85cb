export { dashboardsFolder, provisioningFolder, REBUILD_COMMAND } from './provisioning-folder.ts'
export type { InfluxAccess, InfluxAuth, ProxyLimits } from './query-proxy.ts'
export { builtAssetsFolder, writeAssets } from './viewer-assets.ts'
export { createViewer, runViewer, type Viewer, type ViewerOptions } from './viewer-server.ts'
