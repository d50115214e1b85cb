/** `tributary init`: makes what the processor needs in InfluxDB and NATS. */
import type { Provision } from '@tributary/cloud-processor'
import { loadConfig } from '@tributary/runtime'
import { Command } from 'commander'
import { print, printJson, table } from '../print.ts'

interface InitOptions {
  config: string
  dryRun?: boolean
  json?: boolean
}

export function initCommand(): Command {
  return new Command('init')
    .description('make what the processor needs: database and retention policies or buckets, streams and KV bucket')
    .requiredOption('-c, --config <file>', 'the YAML config of the processor: servers, credentials, names')
    .option('--dry-run', 'only say what is missing')
    .option('--json', 'print {dryRun, items: [{place, what, name, outcome, detail}]}')
    .addHelpText(
      'after',
      `
Outcomes: created, exists, would create (--dry-run), differs. What is there is never changed or deleted; doing it again does nothing.
Exit code 1 when something differs from what the processor needs, 2 when a server does not answer or does not allow it.`,
    )
    .action(init)
}

async function init({ config: path, dryRun = false, json }: InitOptions): Promise<void> {
  const { processorConfigSchema, provision } = await import('@tributary/cloud-processor')
  const config = await loadConfig(path, processorConfigSchema)
  const interrupt = new AbortController()
  const onSignal = () => interrupt.abort(new DOMException('interrupted', 'AbortError'))
  process.once('SIGINT', onSignal)
  const items: Provision[] = []
  try {
    await provision(path, config, { dryRun, signal: interrupt.signal, onDone: (one) => items.push(one) })
  } finally {
    process.off('SIGINT', onSignal)
    // What was made before a failure is said, too.
    if (json) printJson({ dryRun, items })
    else if (items.length > 0)
      print(
        table(
          ['in', 'what', 'name', 'outcome', ''],
          items.map((one) => [one.place, one.what, one.name, one.outcome, one.detail]),
        ),
      )
  }
  if (items.some(({ outcome }) => outcome === 'differs')) process.exitCode = 1
}
