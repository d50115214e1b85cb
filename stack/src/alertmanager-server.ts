import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { answers, createManagedProcess, type ManagedProcess } from './managed-process.ts'
import type { FoundServer } from './servers.ts'

export interface AlertmanagerPlan {
  readonly port: number
  /** Where it sends what it was told, as webhooks of its own. */
  readonly webhookUrl: string
  /** After so long without a word it takes an alert for over. */
  readonly resolveAfter: string
}

/** A real Alertmanager on a loopback port, alone; its data lies in `<folder>/alertmanager`. It groups nothing and waits for nobody. */
export async function createAlertmanager(
  server: FoundServer,
  folder: string,
  { port, webhookUrl, resolveAfter }: AlertmanagerPlan,
): Promise<ManagedProcess & { url: string }> {
  const config = join(folder, 'alertmanager.yml')
  const text = stringify({
    global: { resolve_timeout: resolveAfter },
    route: { receiver: 'test', group_by: ['...'], group_wait: '0s', group_interval: '1s', repeat_interval: '1h' },
    receivers: [{ name: 'test', webhook_configs: [{ url: webhookUrl, send_resolved: true }] }],
  })
  await writeFile(config, text)
  const url = `http://127.0.0.1:${port}`
  const managed = createManagedProcess({
    name: 'prometheus-alertmanager',
    program: server.path,
    arguments: [
      `--config.file=${config}`,
      `--storage.path=${join(folder, 'alertmanager')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--cluster.listen-address=',
    ],
    environment: server.environment,
    logFile: join(folder, 'alertmanager.log'),
    isReady: () => answers(`${url}/-/ready`),
  })
  return Object.assign(managed, { url })
}
