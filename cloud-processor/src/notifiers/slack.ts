/**
 * An incoming webhook of Slack, or of what speaks its format: Mattermost, Rocket.Chat. They know no idempotency key: what was taken
 * without our hearing the answer is there twice, with the same words and the same footer.
 */
import type { Clock } from '@tributary/runtime'
import { escapeChat, escapeHtml } from './escape.ts'
import { detailsOf } from './facts.ts'
import { type HttpTarget, postJson } from './http-post.ts'
import type { Notification, Notifier } from './notifier.ts'
import { sayPlain } from './template.ts'
import { type Wording, wordsOf } from './wording.ts'

export interface SlackOptions extends HttpTarget, Wording {
  /** Another channel, name or picture than the webhook's own, where the server allows it. */
  readonly channel?: string | undefined
  readonly username?: string | undefined
  readonly iconEmoji?: string | undefined
}

const COLOURS = { info: '#439fe0', warning: '#daa038', critical: '#d00000', resolved: '#2eb67d' } as const
/** Details that stand beside each other. */
const SHORT_CHARACTERS_MAX = 40

export function slackNotifier(options: SlackOptions, { clock }: { readonly clock: Clock }): Notifier {
  return {
    name: options.name,
    send: (notification, signal) =>
      postJson(options, JSON.stringify(slackMessage(notification, options)), {}, { clock, signal }),
  }
}

function slackMessage(notification: Notification, options: SlackOptions): object {
  const { key, transition } = notification
  const { title, text, facts } = wordsOf(notification, options, (fact) => escapeChat(sayPlain(fact)))
  const isOwnText = options.text !== undefined
  const { channel, username, iconEmoji } = options
  return {
    text: title,
    // A name such as "*a*" is a name, not an emphasis; a template of one's own may have some.
    mrkdwn: options.title !== undefined,
    ...(channel === undefined ? {} : { channel }),
    ...(username === undefined ? {} : { username }),
    ...(iconEmoji === undefined ? {} : { icon_emoji: iconEmoji }),
    attachments: [
      {
        color: COLOURS[transition.state === 'resolved' ? 'resolved' : transition.severity],
        fallback: title,
        mrkdwn_in: isOwnText ? ['text'] : [],
        ...(isOwnText
          ? { text }
          : {
              text: facts.link === '' ? '' : `<${escapeHtml(facts.link)}|Dashboard at that time>`,
              fields: detailsOf(facts).map(([name, detail]) => ({
                title: name,
                value: escapeChat(detail),
                short: detail.length <= SHORT_CHARACTERS_MAX,
              })),
            }),
        footer: `tributary ${key}`,
      },
    ],
  }
}
