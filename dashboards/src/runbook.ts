/**
 * Where panels and rows say what to do: a heading of docs/runbook.md. The viewer serves that page under this address. Grafana does
 * not: its build (`TRIBUTARY_RUNBOOK_URL`) may name another, and the name of the section stands in the link's text all the same.
 */
import type { Builder } from '@grafana/grafana-foundation-sdk/cog'
import type { DashboardLink } from '@grafana/grafana-foundation-sdk/dashboard'

export const RUNBOOK_ADDRESS = '/docs/runbook.md'

export const RUNBOOK_SECTIONS = {
  silent: 'An agent or gateway is silent',
  backlog: 'Backlog grows',
  missing: 'Missing > 0 in the ledger',
  gap: 'A gap that does not close',
  deadLetters: 'Dead letters appear',
  spoolFull: 'Spool full, shed',
  openAlerts: 'An alert is open',
  notTold: 'An alert did not arrive',
  linesRefused: 'InfluxDB refuses lines',
  influxSlow: 'InfluxDB is slow',
  processor: 'Processor not ready',
  clock: 'Clock wrong',
  connection: 'An agent is not connected',
  inputs: 'A serial device is not understood',
  computer: 'A computer runs short',
} as const
export type RunbookSection = keyof typeof RUNBOOK_SECTIONS

/** As GitHub makes it from a heading. */
export const anchorOf = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

const whatToDo = (section: RunbookSection) => ({
  title: `What to do: ${RUNBOOK_SECTIONS[section]}`,
  url: `${RUNBOOK_ADDRESS}#${anchorOf(RUNBOOK_SECTIONS[section])}`,
})

/** Links a panel to what to do about what it shows. A panel's links are addresses alone, without what those of a dashboard have. */
export const withRunbook = <P extends { links(links: Builder<DashboardLink>[]): P }>(
  panel: P,
  ...sections: readonly RunbookSection[]
): P => panel.links(sections.map((section) => ({ build: () => whatToDo(section) as DashboardLink })))
