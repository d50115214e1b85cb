export { DEVICE_CLASSES, type DeviceClass, type DeviceClassName, type FieldValue } from './device-class.ts'
export { createDeviceModels, type DeviceModel, type Run, type Sample } from './device-model.ts'
export type { LedgerEvent, Loss, LossReason } from './ledger.ts'
export * from './ledger-reader.ts'
export { type ReplayOptions, type ReplaySummary, replayRecording } from './replay.ts'
export { type RunSimulatorOptions, runSimulator } from './run-simulator.ts'
export {
  csvColumns,
  type DeviceConfig,
  type Expectation,
  kindOf,
  loadScenario,
  type OutageConfig,
  readingsPerSecond,
  type Scenario,
  scenarioSchema,
} from './scenario.ts'
export {
  createSimulator,
  type Simulator,
  type SimulatorOptions,
} from './simulator.ts'
export type { DeviceStatus, SimulatorState, SimulatorStatus } from './simulator-status.ts'
