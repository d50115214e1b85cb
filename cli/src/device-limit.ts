/** Limits of a device as one writes them on a command line or into a cell: `vibration.velocity_rms_mm_s>6.5~0.3:critical`. */
import type { DeviceThreshold } from '@tributary/cloud-processor'

const LIMIT =
  /^(?:([a-z][a-z0-9_]*)\.)?([a-z][a-z0-9_]*)([<>])(-?\d+(?:\.\d+)?)(?:~(\d+(?:\.\d+)?))?(?::(info|warning|critical))?$/
export const LIMIT_RULE =
  'a limit such as "temperature_c>80", with "~2" for hysteresis, ":critical" for severity and a kind before the field when several kinds have it: "vibration.temperature_c>80~2:critical"'

/** @returns undefined when the text is no limit */
export function parseLimit(text: string): DeviceThreshold | undefined {
  const [, kind, field, direction, limit, hysteresis = '0', severity = 'warning'] = LIMIT.exec(text) ?? []
  if (field === undefined) return undefined
  return {
    ...(kind === undefined ? {} : { kind }),
    field,
    ...(direction === '>' ? { above: Number(limit) } : { below: Number(limit) }),
    hysteresis: Number(hysteresis),
    severity: severity as DeviceThreshold['severity'],
  }
}

export const sayLimit = ({ kind, field, above, below, hysteresis, severity }: DeviceThreshold): string =>
  `${kind === undefined ? '' : `${kind}.`}${field}${above === undefined ? `<${below}` : `>${above}`}${hysteresis === 0 ? '' : `~${hysteresis}`}:${severity}`
