/** How an agent or gateway is, in words and colours that the colour-blind tell apart. */
import { MappingType, SpecialValueMatch, type ValueMapping } from '@grafana/grafana-foundation-sdk/dashboard'

export const SILENT = 'silent'
/** From well to bad. `silent` is what nobody wrote: there is no point. */
export const PROCESS_STATES: Readonly<Record<string, { readonly text: string; readonly color: string }>> = {
  live: { text: 'live', color: 'blue' },
  draining: { text: 'draining', color: 'super-light-blue' },
  clock_not_trusted: { text: 'clock not trusted', color: 'yellow' },
  offline: { text: 'offline', color: 'gray' },
}
const SILENT_COLOUR = 'dark-red'

export const stateColours: readonly string[] = [
  ...Object.values(PROCESS_STATES).map(({ color }) => color),
  SILENT_COLOUR,
]

const known: ValueMapping = {
  type: MappingType.ValueToText,
  options: Object.fromEntries(
    Object.entries(PROCESS_STATES).map(([state, result], index) => [state, { ...result, index }]),
  ),
}
/** Of a cell: an empty one is of an agent that does not tell its state. */
export const STATE_MAPPINGS: ValueMapping[] = [known]
/** Of a timeline: where nothing was written, nobody was heard. */
export const STATE_OR_SILENT_MAPPINGS: ValueMapping[] = [
  known,
  {
    type: MappingType.SpecialValue,
    options: { match: SpecialValueMatch.Null, result: { text: SILENT, color: SILENT_COLOUR, index: 9 } },
  },
]
