/** Title and text of a notification: the receiver's own templates, or what needs none. */
import { clip, oneLine } from './escape.ts'
import { detailsOf, type Facts, factsOf } from './facts.ts'
import type { Notification } from './notifier.ts'
import { renderTemplate, sayPlain, template } from './template.ts'

export interface Wording {
  readonly title?: string | undefined
  readonly text?: string | undefined
  /** Of Grafana or the viewer; '' or absent: no links. */
  readonly dashboardUrl?: string | undefined
}

export interface Words {
  /** One line, for a phone's screen. */
  readonly title: string
  /** Some lines. */
  readonly text: string
  readonly facts: Facts
}

const TITLE_CHARACTERS_MAX = 250
const TEXT_CHARACTERS_MAX = 3_000

/** For the config of a receiver that shows texts. */
export const wordingKeys = {
  title: template(500).optional(),
  text: template(4_000).optional(),
}

/** @param say puts a fact into a template of one's own */
export function wordsOf(
  notification: Pick<Notification, 'transition' | 'reason'>,
  { title, text, dashboardUrl = '' }: Wording,
  say: (fact: string) => string = sayPlain,
): Words {
  const facts = factsOf(notification, dashboardUrl)
  return {
    title: clip(
      title === undefined ? say(defaultTitle(facts)) : oneLine(renderTemplate(title, facts, say)),
      TITLE_CHARACTERS_MAX,
    ),
    text: clip(text === undefined ? defaultText(facts, say) : renderTemplate(text, facts, say), TEXT_CHARACTERS_MAX),
    facts,
  }
}

/** `RESOLVED`, or the severity: what a reader sees first. */
export const headword = ({ state, severity, reason }: Pick<Facts, 'state' | 'severity' | 'reason'>): string =>
  state === 'resolved' ? 'RESOLVED' : `${reason === 'escalated' ? 'ESCALATED ' : ''}${severity.toUpperCase()}`

function defaultTitle(facts: Facts): string {
  const where = [facts.device, facts.site].filter((name) => name !== '').join(' at ')
  return `${headword(facts)}${where === '' ? '' : ` ${where}`}: ${facts.message} (${facts.at})`
}

function defaultText(facts: Facts, say: (fact: string) => string): string {
  const details = detailsOf(facts).map(([label, detail]) => `${label}: ${say(detail)}`)
  const link = facts.link === '' ? [] : [`Dashboard: ${say(facts.link)}`]
  return [`${headword(facts)}: ${say(facts.message)}`, '', ...details, ...link].join('\n')
}
