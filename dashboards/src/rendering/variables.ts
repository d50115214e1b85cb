/** Dashboard variables: what is selected, from the address, and what depends on what. */
import type { VariableJson } from './dashboard-json.ts'
import { ALL_VALUE, macroNames, type SelectedVariable } from './macros.ts'

export const queryOf = ({ query }: VariableJson): string =>
  typeof query === 'string' ? query : String(query?.['query'] ?? '')

/** Written by hand: whatever it says is its one option. */
export const isTextbox = ({ type }: VariableJson): boolean => type === 'textbox'

/** The options of a variable that asks nobody; undefined for one that asks InfluxDB. A custom one may write `name : value`. */
export function ownOptions(variable: VariableJson): string[] | undefined {
  if (isTextbox(variable)) return [[variable.current?.value ?? []].flat()[0] ?? queryOf(variable)]
  if (variable.type !== 'custom') return undefined
  return customOptions(variable).map(({ value }) => value)
}

/** Value → name, of a custom variable that names its values. */
const namesOf = (variable: VariableJson): Record<string, string> =>
  variable.type === 'custom' ? Object.fromEntries(customOptions(variable).map(({ name, value }) => [value, name])) : {}

function customOptions(variable: VariableJson): { name: string; value: string }[] {
  return queryOf(variable)
    .split(',')
    .map((option) => {
      const [, name, value] = /^(.+?) : (.+)$/.exec(option.trim()) ?? []
      return { name: (name ?? option).trim(), value: (value ?? option).trim() }
    })
}

/** What the reader sees for a value. */
export const optionName = (variable: VariableJson, value: string): string => namesOf(variable)[value] ?? value

/** In an order in which each comes after those that its query mentions. */
export function inOrder(variables: readonly VariableJson[]): VariableJson[] {
  const ordered: VariableJson[] = []
  const visit = (variable: VariableJson, path: readonly string[]) => {
    if (ordered.includes(variable) || path.includes(variable.name)) return
    for (const name of macroNames(queryOf(variable))) {
      const other = variables.find((v) => v.name === name)
      if (other) visit(other, [...path, variable.name])
    }
    ordered.push(variable)
  }
  for (const variable of variables) visit(variable, [])
  return ordered
}

/**
 * @param wanted from the address; [] for the dashboard's default
 * @param options what there is to select
 */
export function select(
  variable: VariableJson,
  wanted: readonly string[],
  options: readonly string[],
): SelectedVariable {
  const { name, allValue } = variable
  if (isTextbox(variable)) {
    const value = wanted[0] ?? options[0] ?? ''
    return { name, values: [value], options: [value], isPattern: false }
  }
  const fallback = [variable.current?.value ?? []].flat().filter((value) => value !== '')
  const given = wanted.length > 0 ? wanted.map((value) => (value === 'All' ? ALL_VALUE : value)) : fallback
  // What no longer exists stays selected, so that a link to a silent device shows that device and not all of them.
  const values = given.includes(ALL_VALUE) && variable.includeAll ? [ALL_VALUE] : given.filter((v) => v !== ALL_VALUE)
  const usable = values.length > 0 ? values : variable.includeAll ? [ALL_VALUE] : options.slice(0, 1)
  return {
    name,
    ...(variable.type === 'custom' ? { names: namesOf(variable) } : { isStored: true }),
    values: variable.multi ? usable : usable.slice(0, 1),
    allValue,
    options,
    isPattern: Boolean(variable.multi || variable.includeAll),
  }
}
