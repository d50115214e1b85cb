/**
 * ntfy, of ntfy.sh or one's own. The episode is the sequence id: a repeat, and the end of an episode, stand in the place of what
 * the phone shows already (ntfy 2.16 and later; before, they stand beside it).
 */
import type { Clock } from '@tributary/runtime'
import { clip } from './escape.ts'
import { basicAuthorization, type HttpTarget, postJson } from './http-post.ts'
import type { Notification, Notifier } from './notifier.ts'
import { type Wording, wordsOf } from './wording.ts'

export interface NtfyPriorities {
  readonly info: number
  readonly warning: number
  readonly critical: number
  readonly resolved: number
}

/** @see https://docs.ntfy.sh/publish/#publish-as-json `url` is the server, without the topic */
export interface NtfyOptions extends HttpTarget, Wording {
  readonly topic: string
  readonly token?: string | undefined
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** 1 (least) to 5. */
  readonly priorities: NtfyPriorities
  readonly tags: readonly string[]
}

/** Names of emojis; ntfy shows them before the title. */
const EMOJIS = {
  info: 'information_source',
  warning: 'warning',
  critical: 'rotating_light',
  resolved: 'white_check_mark',
} as const
/** Of 4,096 bytes, beyond which ntfy makes a file of it: four a character at most. */
const MESSAGE_CHARACTERS_MAX = 1_000
const SEQUENCE_ID_CHARACTERS_MAX = 64

export function ntfyNotifier(options: NtfyOptions, { clock }: { readonly clock: Clock }): Notifier {
  const headers = authorization(options)
  return {
    name: options.name,
    send: (notification, signal) =>
      postJson(
        options,
        JSON.stringify(ntfyMessage(notification, options)),
        { ...headers, 'idempotency-key': notification.key },
        { clock, signal },
      ),
  }
}

function ntfyMessage(notification: Notification, options: NtfyOptions): object {
  const { transition } = notification
  const { title, text, facts } = wordsOf(notification, options)
  const level = transition.state === 'resolved' ? 'resolved' : transition.severity
  return {
    topic: options.topic,
    title,
    message: clip(text, MESSAGE_CHARACTERS_MAX),
    priority: options.priorities[level],
    tags: [EMOJIS[level], ...options.tags],
    sequence_id: transition.episode.replace(/[^\w-]/g, '_').slice(0, SEQUENCE_ID_CHARACTERS_MAX),
    ...(facts.link === '' ? {} : { click: facts.link }),
  }
}

function authorization({ token, username, password = '' }: Pick<NtfyOptions, 'token' | 'username' | 'password'>) {
  const headers: Record<string, string> = {}
  if (token !== undefined) headers['authorization'] = `Bearer ${token}`
  else if (username !== undefined) headers['authorization'] = basicAuthorization(username, password)
  return headers
}
