/** The config files of a pipeline on one machine, as a person would write them. */
import { join } from 'node:path'
import type { DevicePlan } from '@tributary/firmware-sim'
import { stringify } from 'yaml'

export function gatewayConfig(options: { folder: string; site: string; mqttPort: number; adminPort: number; natsUrl: string }): string {
  return stringify({
    gateway: 'gateway-1',
    site: options.site,
    mqtt: { listen: `127.0.0.1:${options.mqttPort}` },
    credentials_file: join(options.folder, 'agents.passwd'),
    nats: { url: options.natsUrl },
    spool: { folder: join(options.folder, 'gateway-spool'), budget: '4GiB', segment: '16MiB', free_disk: '64MiB' },
    admin: { listen: `127.0.0.1:${options.adminPort}` },
  })
}

export function processorConfig(options: { folder: string; contracts: string; adminPort: number; natsUrl: string; influxUrl: string }): string {
  return stringify({
    processor: 'processor-1',
    nats: { url: options.natsUrl },
    influx: { url: options.influxUrl, version: 'auto', database: 'tributary' },
    contracts: options.contracts,
    registry: join(options.folder, 'devices.yaml'),
    checkpoint: { folder: join(options.folder, 'checkpoints') },
    notifiers: [{ name: 'log', type: 'log' }],
    admin: { listen: `127.0.0.1:${options.adminPort}` },
  })
}

export function agentConfig(options: {
  folder: string
  agent: string
  devices: readonly DevicePlan[]
  adminPort: number
  gatewayUrl: string
  sensorBrokerUrl: string
  withHost: boolean
}): string {
  const serial = options.devices
    .filter((device) => device.link === 'serial')
    .map((device) => ({
      name: device.name,
      type: 'serial',
      path: join(options.folder, 'simulator', 'ports', device.name),
      baud: 115200,
      framing: framingOf(device),
      device: device.name,
      kind: device.kind,
      acknowledge: device.acknowledge,
      idle: '10s',
    }))
  const overMqtt = options.devices.filter((device) => device.link === 'mqtt')
  const mqtt =
    overMqtt.length === 0
      ? []
      : [
          {
            name: 'sensors',
            type: 'mqtt',
            url: options.sensorBrokerUrl,
            topics: overMqtt.map((device) => ({ pattern: `sensors/${device.name}/sample`, device: device.name, kind: device.kind, payload: 'json' })),
          },
        ]
  return stringify({
    agent: options.agent,
    spool: { folder: join(options.folder, `${options.agent}-spool`), budget: '1GiB', segment: '8MiB', durability: '250ms', free_disk: '64MiB' },
    // biome-ignore lint/suspicious/noTemplateCurlyInString: taken from the environment by the agent
    gateway: { url: options.gatewayUrl, password: '${AGENT_PASSWORD}' },
    admin: { listen: `127.0.0.1:${options.adminPort}` },
    inputs: [...serial, ...mqtt, ...(options.withHost ? [{ name: 'host', type: 'host', interval: '5s' }] : [])],
  })
}

const framingOf = (device: DevicePlan) =>
  device.framing === 'cobs' ? { type: 'cobs' } : { type: device.framing, crc: device.crc }
