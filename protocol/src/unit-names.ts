/** Units stand in the names of fields: a name that differs from one of the contract in its unit alone was measured in another unit. */
import type { Contract } from './contract.ts'

/** As people write them at the end of names. */
const UNITS = new Set(
  `c celsius f fahrenheit k kelvin pa hpa kpa mpa bar mbar psi mmhg m mm cm km um in inch ft mi l litres liters ml m3 gal
  v mv kv a ma ua w mw kw va kva wh kwh mwh j kj hz khz mhz rpm percent permille ratio ppm ppb s ms us ns min h d
  g kg mg lb t n kn nm mm_s m_s km_h mph m_s2 mg_m3 ug_m3 l_min l_h m3_h lux lx db deg rad b kb mb gb bytes`.split(
    /\s+/,
  ),
)

/** @returns the contract's field that is the same but for its unit (`temperature_c` for `temperature_f`), when there is one */
export function fieldInOtherUnit(contract: Contract, name: string): string | undefined {
  const stem = nameWithoutUnit(name)
  if (stem === undefined) return undefined
  return Object.keys(contract.fields).find((field) => field !== name && nameWithoutUnit(field) === stem)
}

/** @returns undefined when the name ends in no unit; of several that it may end in the longest goes */
export function nameWithoutUnit(name: string): string | undefined {
  for (let at = name.indexOf('_'); at > 0; at = name.indexOf('_', at + 1))
    if (UNITS.has(name.slice(at + 1).toLowerCase())) return name.slice(0, at)
  return undefined
}
