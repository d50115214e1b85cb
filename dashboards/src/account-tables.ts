/** The account in tables: of each agent, what was refused and why, what was given up and why. */
import { CRITICAL, WARNING } from './field-style.ts'
import { SITE_AND_DEVICE as WHERE } from './influxql.ts'
import { ACCOUNT_UID } from './overview-uids.ts'
import { link, type PanelPlace, table } from './panels.ts'

const NUMBER = { unit: 'locale', decimals: 0 }
const AGENT_ALONE = `/d/${ACCOUNT_UID}/account?var-site=\${__data.fields.site}&var-device=\${__data.fields.device}&\${__url_time_range}`

export function agentsTable(at: PanelPlace) {
  const limit = (color: string) => [
    { value: null, color: 'text' },
    { value: 1, color },
  ]
  return table(at, {
    query: `SELECT "produced", "stored", "in_flight", "dead_lettered", "shed", "missing" FROM "account" WHERE ${WHERE} GROUP BY "site", "device" ORDER BY time DESC LIMIT 1`,
    columns: [
      { name: 'device', title: 'Agent', properties: [link('This one alone', AGENT_ALONE)] },
      { name: 'site', title: 'Site' },
      { name: 'Time', title: 'Last change', unit: 'dateTimeFromNow' },
      { name: 'produced', title: 'Produced', ...NUMBER },
      { name: 'stored', title: '= Stored', ...NUMBER },
      { name: 'in_flight', title: '+ In flight', ...NUMBER },
      { name: 'dead_lettered', title: '+ Dead-lettered', ...NUMBER, steps: limit(WARNING) },
      { name: 'shed', title: '+ Shed', ...NUMBER, steps: limit(WARNING) },
      { name: 'missing', title: '+ Missing', ...NUMBER, steps: limit(CRITICAL) },
    ],
    noValue: 'No agent has sent anything yet',
  })
}

export function deadLettersTable(at: PanelPlace) {
  return table(at, {
    query:
      `SELECT sum("letters") AS "letters", sum("readings") AS "readings" FROM (SELECT last("letters") AS "letters", last("readings") AS "readings" ` +
      `FROM "dead_letter" WHERE ${WHERE} GROUP BY "site", "device", "stage", "reason") GROUP BY "stage", "reason"`,
    columns: [
      { name: 'stage', title: 'Refused at' },
      { name: 'reason', title: 'Reason' },
      { name: 'letters', title: 'Letters', ...NUMBER },
      { name: 'readings', title: 'Readings', ...NUMBER },
    ],
    hidden: ['Time'],
    noValue: 'Nothing was refused',
  })
}

export function tombstonesTable(at: PanelPlace) {
  return table(at, {
    query:
      `SELECT sum("batches") AS "batches", sum("readings") AS "readings" FROM (SELECT last("batches") AS "batches", last("readings") AS "readings" ` +
      `FROM "shed" WHERE ${WHERE} GROUP BY "site", "device", "reason") GROUP BY "device", "reason"`,
    columns: [
      { name: 'device', title: 'Agent' },
      { name: 'reason', title: 'Reason' },
      { name: 'batches', title: 'Batches', ...NUMBER },
      { name: 'readings', title: 'Readings', ...NUMBER },
    ],
    hidden: ['Time'],
    noValue: 'Nothing was shed',
  })
}
