/** Of each agent how fresh its data is, of each spool how long its card lasts. */
import { kindUid } from '@tributary/protocol'
import { CRITICAL, WARNING } from './field-style.ts'
import { SITE } from './influxql.ts'
import { link, type PanelPlace, table } from './panels.ts'
import { cardLife } from './pipeline-queries.ts'

const AGENT = `/d/${kindUid('agent_health')}/agent-health?var-site=\${__data.fields.site}&var-device=\${__data.fields.device}&\${__url_time_range}`

/** When the newest reading of each agent was stored. */
export const freshnessTable = (at: PanelPlace) =>
  table(at, {
    query: `SELECT last("stored") AS "stored" FROM "account" WHERE ${SITE} GROUP BY "site", "device"`,
    columns: [
      { name: 'device', title: 'Agent', properties: [link('Open Agent health', AGENT)] },
      { name: 'Time', title: 'Newest stored', unit: 'dateTimeFromNow', width: 130 },
    ],
    hidden: ['site', 'stored'],
    noValue: 'No agent has sent anything yet',
  })

export const cardsTable = (at: PanelPlace) =>
  table(at, {
    query: cardLife,
    columns: [
      { name: 'device', title: 'Spool of' },
      { name: 'written', title: 'Written in a day', unit: 'decbytes', decimals: 1 },
      {
        name: 'years',
        title: 'Card lasts',
        unit: 'suffix: years',
        decimals: 1,
        // A card is bought for some years.
        steps: [
          { value: null, color: CRITICAL },
          { value: 1, color: WARNING },
          { value: 3, color: 'text' },
        ],
      },
    ],
    hidden: ['Time', 'site'],
    noValue: 'No spool wrote anything in this time range',
  })
