export * from './addresses.ts'
export * from './batch.ts'
export * from './batch-codec.ts'
export { countReadings, countSamples } from './batch-faults.ts'
export * from './contract.ts'
export * from './contract-check.ts'
export {
  fieldsNamedBy,
  isRateLimit,
  peerWidthMs,
  RATE_RULE,
  type RateLimit,
  rateMs,
  rateSpanMs,
  TOGETHER_FIELDS_MAX,
} from './contract-detectors.ts'
export * from './contract-files.ts'
export * from './control-messages.ts'
export * from './dashboard-uids.ts'
export * from './dead-letter.ts'
export { DECIMALS_MAX, decimalsOf } from './decimal-deltas.ts'
export * from './decode-error.ts'
export * from './interval-check.ts'
export * from './limits.ts'
export * from './operator-request.ts'
export * from './recording.ts'
export * from './requeue-request.ts'
export * from './rollup.ts'
export * from './site-tap.ts'
export { nameWithoutUnit } from './unit-names.ts'
