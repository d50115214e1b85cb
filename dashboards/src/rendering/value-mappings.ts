/** Words and colours that stand for values, as Grafana chooses them: the first mapping that fits. */
import type { MappingJson, MappingResult } from './dashboard-json.ts'
import type { Value } from './frames.ts'

const SPECIAL: Readonly<Record<string, (value: Value) => boolean>> = {
  null: (value) => value === null,
  nan: (value) => Number.isNaN(Number(value)),
  'null+nan': (value) => value === null || Number.isNaN(Number(value)),
  true: (value) => value === true || value === 'true',
  false: (value) => value === false || value === 'false',
  empty: (value) => value === '',
}
export const SPECIAL_MATCHES: readonly string[] = Object.keys(SPECIAL)

export function mappingOf(mappings: readonly MappingJson[], value: Value): MappingResult | undefined {
  for (const mapping of mappings) {
    if (mapping.type === 'special') {
      if (SPECIAL[mapping.options.match]?.(value)) return mapping.options.result
    } else if (value === null) continue
    else if (mapping.type === 'value') {
      const key = String(value)
      if (Object.hasOwn(mapping.options, key)) return mapping.options[key]
    } else {
      const amount = Number.parseFloat(String(value))
      if (amount >= mapping.options.from && amount <= mapping.options.to) return mapping.options.result
    }
  }
  return undefined
}
