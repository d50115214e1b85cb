/** What comes from devices, registry and contracts is text, wherever it is put: never markup, never another line or level. */

const CLIPPED = '…'

/** Control characters, and those that turn the direction of writing, become spaces. */
export const oneLine = (text: string): string =>
  text
    .replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu, ' ')
    .replace(/\s+/g, ' ')
    .trim()

/** At most so many characters, none of them halved. */
export function clip(text: string, charactersMax: number): string {
  if (text.length <= charactersMax) return text
  return `${text.slice(0, charactersMax - CLIPPED.length).replace(/[\ud800-\udbff]$/, '')}${CLIPPED}`
}

const HTML: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (found) => HTML[found] as string)

/**
 * Slack's three characters of markup; and a space without width where Mattermost and Rocket.Chat would see a mention or a
 * link. Formatting is switched off in the message itself.
 */
export const escapeChat = (text: string): string =>
  text.replace(/[&<>]/g, (found) => HTML[found] as string).replace(/@(?=\w)|\](?=\()/g, '$&\u200b')

/** One level of an MQTT topic: no separator, no wildcard, and not empty. */
export const escapeTopicLevel = (text: string): string => text.replace(/[/+#$\0]/g, '_') || '_'
