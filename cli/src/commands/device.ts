/** `tributary device`: which device stands where, what people call it, its own limits. */
import type { DeviceThreshold } from '@tributary/cloud-processor'
import { Command, InvalidArgumentError, Option } from 'commander'
import { LIMIT_RULE, parseLimit } from '../device-limit.ts'
import { natsOption } from '../nats-connection.ts'

export function deviceCommand(): Command {
  const bucket = () =>
    new Option('--bucket <name>', "the registry's KV bucket, `registry_bucket` of the processor").default('devices')
  const dryRun = () => new Option('--dry-run', 'say what would be done and change nothing')
  const from = () => new Option('--from <time>', 'since when: "now", "always" or a time with its zone')
  const contracts = () => new Option('--contracts <folder>', 'refuse limits of fields that no contract there has')
  return new Command('device')
    .description('the registry of devices: where they stand and stood, what people call them, their own limits')
    .addCommand(
      new Command('set')
        .description('enter a device or change it; what is not given stays as it is')
        .argument('<device>', 'as it calls itself in its samples')
        .option('--site <name>', 'where it stands; another one than before is a move, from now on or --from')
        .option('--line <text>', 'which line or machine it belongs to')
        .option('--name <text>', 'what people call it')
        .option('--location <text>', 'where to go')
        .addOption(
          new Option('--threshold <limit>', `${LIMIT_RULE}; repeatable`).argParser(
            (text: string, before: DeviceThreshold[] = []) => [...before, limit(text)],
          ),
        )
        .option('--clear-thresholds', 'take its own limits away: those of the contract count again')
        .addOption(from())
        .addOption(contracts())
        .addOption(dryRun())
        .addOption(natsOption())
        .addOption(bucket())
        .option('--json', 'print {device, changed, dryRun, entries}')
        .action(async (device, options) => (await actions()).setDevice(device, options)),
    )
    .addCommand(
      new Command('list')
        .description('devices as they stand now; the JSON can be imported')
        .option('--site <name>', 'at this site only')
        .addOption(new Option('--at <time>', 'as they stood then'))
        .option('--history', 'everything that is known of each, oldest first')
        .addOption(natsOption())
        .addOption(bucket())
        .option('--json', 'print {devices: [{device, from, site, line, name, location, thresholds}]}')
        .action(async (options) => (await actions()).listDevices(options)),
    )
    .addCommand(
      new Command('import')
        .description('enter all devices of YAML files (devices: […]) or tables (.csv); again changes nothing more')
        .argument('<files...>', 'columns and keys: device, from, site, line, name, location, thresholds')
        .addOption(contracts())
        .addOption(dryRun())
        .addOption(natsOption())
        .addOption(bucket())
        .option('--json', 'print {added, changed, unchanged, dryRun, devices: [{device, change}]}')
        .action(async (files, options) => (await actions()).importDevices(files, options)),
    )
    .addCommand(
      new Command('remove')
        .description("take devices out: from now on they are at their gateway's site, without a name")
        .argument('<devices...>', 'names')
        .addOption(from())
        .option('--purge', 'forget what they were, too: late readings of that time go to the site of their gateway')
        .addOption(dryRun())
        .addOption(natsOption())
        .addOption(bucket())
        .option('--json', 'print {removed, dryRun}')
        .action(async (devices, options) => (await actions()).removeDevices(devices, options)),
    )
}

function limit(text: string): DeviceThreshold {
  const parsed = parseLimit(text)
  if (parsed === undefined) throw new InvalidArgumentError(`must be ${LIMIT_RULE}.`)
  return parsed
}

/** The processor's parts are loaded when they are needed: other commands must not wait for them. */
const actions = () => import('../device-actions.ts')
