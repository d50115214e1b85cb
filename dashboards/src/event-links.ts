/** From a row about a device to the device at that time. */
import type { DynamicConfigValue } from '@grafana/grafana-foundation-sdk/dashboard'
import { type Contracts, kindUid } from '@tributary/protocol'
import { link } from './panels.ts'

/** Shown before and behind it, together. */
const AROUND_MS = 3_600_000
/** What stands for a kind in the uid of its dashboard. A link between processes is of no kind: the fleet shows it. */
const UID_PREFIX = kindUid('')
const NO_KIND = 'fleet'

/** Of the column `kind`: what links are filled from is what it shows, so it shows a dashboard's name. */
export const kindColumn = (contracts: Contracts): DynamicConfigValue[] => {
  const other = [...contracts.keys()].filter((kind) => kindUid(kind) !== UID_PREFIX + kind).sort()
  return [
    {
      id: 'mappings',
      value: [
        {
          type: 'value',
          options: Object.fromEntries(
            other.map((kind, index) => [kind, { text: kindUid(kind).slice(UID_PREFIX.length), index }]),
          ),
        },
        { type: 'special', options: { match: 'empty', result: { text: NO_KIND, index: other.length } } },
      ],
    },
  ]
}

const DEVICE = `/d/${UID_PREFIX}\${__data.fields.kind}/device?var-site=\${__data.fields.site}&var-device=\${__data.fields.device}`

/** Of a column of times: half an hour before to half an hour behind. */
export const deviceThen = (): DynamicConfigValue =>
  link('The device at that time', `${DEVICE}&time=\${__value.raw}&time.window=${AROUND_MS}`)

/** The device in the time range that is shown. */
export const deviceNow = (): DynamicConfigValue => link('Open the device', `${DEVICE}&\${__url_time_range}`)
