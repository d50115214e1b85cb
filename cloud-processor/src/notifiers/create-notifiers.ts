/** From the config to notifiers. Creating does nothing: files and libraries are read with the first attempt. */
import type { Clock, Logger } from '@tributary/runtime'
import { alertmanagerNotifier } from './alertmanager.ts'
import { emailNotifier } from './email.ts'
import { logNotifier } from './log.ts'
import { mqttNotifier } from './mqtt.ts'
import type { Notifier } from './notifier.ts'
import { ntfyNotifier } from './ntfy.ts'
import type { NotifierConfig } from './schema.ts'
import { slackNotifier } from './slack.ts'
import { webhookNotifier } from './webhook.ts'

export interface NotifierDependencies {
  readonly clock: Clock
  readonly log: Logger
  /** `dashboard_url` of the config. */
  readonly dashboardUrl?: string | undefined
  /** Paths in the config are relative to its folder. */
  readonly at?: (path: string) => string
}

export const createNotifiers = (configs: readonly NotifierConfig[], dependencies: NotifierDependencies): Notifier[] =>
  configs.map((config) => createNotifier(config, dependencies))

const MAIL_PORTS = { starttls: 587, tls: 465, none: 25 } as const

export function createNotifier(
  config: NotifierConfig,
  { clock, log, dashboardUrl, at = (path) => path }: NotifierDependencies,
): Notifier {
  const file = (path: string | undefined) => (path === undefined ? undefined : at(path))
  if (config.type === 'log') return logNotifier({ ...config, dashboardUrl }, { log })
  const shared = { dashboardUrl, timeoutMs: config.timeout, caFile: file(config.tls_ca_file) }
  switch (config.type) {
    case 'webhook':
      return webhookNotifier({ ...config, ...shared }, { clock })
    case 'slack':
      return slackNotifier({ ...config, ...shared, iconEmoji: config.icon_emoji }, { clock })
    case 'email':
      return emailNotifier({ ...config, ...shared, port: config.port ?? MAIL_PORTS[config.security] }, { clock, log })
    case 'ntfy':
      return ntfyNotifier({ ...config, ...shared }, { clock })
    case 'mqtt':
      return mqttNotifier(
        {
          ...config,
          ...shared,
          clientId: config.client_id,
          certFile: file(config.tls_cert_file),
          keyFile: file(config.tls_key_file),
        },
        { clock },
      )
    case 'alertmanager':
      return alertmanagerNotifier({ ...config, ...shared, repeatEveryMs: config.repeat }, { clock })
  }
}
