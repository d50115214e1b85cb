export { DEVICE_CLASSES, type DeviceClass, type DeviceClassName, type FieldValue } from './device-class.ts'
export { createDeviceModels, type DeviceModel, type Run, type Sample } from './device-model.ts'
export type { LedgerEvent, Loss, LossReason } from './ledger.ts'
export * from './ledger-reader.ts'
export { type RunSimulatorOptions, runSimulator } from './run-simulator.ts'
export {
  csvColumns,
  type DeviceConfig,
  kindOf,
  loadScenario,
  readingsPerSecond,
  type Scenario,
  scenarioSchema,
} from './scenario.ts'
export {
  createSimulator,
  type DeviceStatus,
  type Simulator,
  type SimulatorOptions,
  type SimulatorState,
  type SimulatorStatus,
} from './simulator.ts'
