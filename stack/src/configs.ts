/** The config files of a pipeline on one machine, as a person would write them. */
import { join } from 'node:path'
import { csvColumns, type DeviceConfig, kindOf } from '@tributary/firmware-sim'
import { stringify } from 'yaml'

const FREE_DISK = '64MiB'

export function gatewayConfig(options: {
  folder: string
  site: string
  mqttPort: number
  adminPort: number
  natsUrl: string
  freeDisk?: string | undefined
  clockTrusted?: 'always' | undefined
  siteView?: { readonly port: number; readonly tapPort: number; readonly contracts: string } | undefined
}): string {
  const { siteView } = options
  return stringify({
    gateway: 'gateway-1',
    site: options.site,
    mqtt: { listen: `127.0.0.1:${options.mqttPort}` },
    credentials_file: join(options.folder, 'agents.passwd'),
    nats: { url: options.natsUrl },
    spool: {
      folder: join(options.folder, 'gateway-spool'),
      budget: '4GiB',
      segment: '16MiB',
      free_disk: options.freeDisk ?? FREE_DISK,
    },
    ...(options.clockTrusted ? { clock: { trusted: options.clockTrusted } } : {}),
    admin: { listen: `127.0.0.1:${options.adminPort}` },
    ...(siteView
      ? {
          site_view: {
            listen: `127.0.0.1:${siteView.port}`,
            tap: `127.0.0.1:${siteView.tapPort}`,
            folder: join(options.folder, 'site-view'),
            contracts: siteView.contracts,
          },
        }
      : {}),
  })
}

export function processorConfig(options: {
  folder: string
  contracts: string
  adminPort: number
  natsUrl: string
  influxUrl: string
  alertWebhookUrl: string | undefined
}): string {
  return stringify({
    processor: 'processor-1',
    nats: { url: options.natsUrl },
    influx: { url: options.influxUrl, version: 'auto', database: 'tributary' },
    contracts: options.contracts,
    registry: join(options.folder, 'devices.yaml'),
    checkpoint: { folder: join(options.folder, 'checkpoints') },
    notifiers: [
      { name: 'log', type: 'log' },
      ...(options.alertWebhookUrl ? [{ name: 'people', type: 'webhook', url: options.alertWebhookUrl }] : []),
    ],
    alerts: join(options.folder, 'alerts.yaml'),
    admin: { listen: `127.0.0.1:${options.adminPort}` },
  })
}

/** Whoever listens to a simulation counts notifications: no digest stands in for them. */
export const alertsConfig = (given: object = {}): string => stringify({ limit: { per_hour: 100_000 }, ...given })

export function agentConfig(options: {
  folder: string
  agent: string
  devices: readonly DeviceConfig[]
  adminPort: number
  /** Default: loopback. */
  adminHost?: string
  gatewayUrl: string
  sensorBrokerUrl: string
  withHost: boolean
  freeDisk?: string | undefined
  clockTrusted?: 'never' | undefined
}): string {
  const serial = options.devices
    .filter((device) => device.serial !== undefined)
    .map((device) => ({
      name: device.name,
      type: 'serial',
      path: join(options.folder, 'simulator', 'ports', device.name),
      baud: 115200,
      framing: framingOf(device),
      device: device.name,
      kind: kindOf(device),
      acknowledge: device.serial?.acknowledge ?? false,
      idle: '10s',
    }))
  const overMqtt = options.devices.filter((device) => device.mqtt !== undefined)
  const topics = overMqtt.map((device) => ({
    pattern: device.mqtt?.topic.replace('{device}', device.name),
    device: device.name,
    kind: kindOf(device),
    payload: 'json',
  }))
  const mqtt = overMqtt.length === 0 ? [] : [{ name: 'sensors', type: 'mqtt', url: options.sensorBrokerUrl, topics }]
  return stringify({
    agent: options.agent,
    spool: {
      folder: join(options.folder, `${options.agent}-spool`),
      budget: '1GiB',
      segment: '8MiB',
      durability: '250ms',
      free_disk: options.freeDisk ?? FREE_DISK,
    },
    // biome-ignore lint/suspicious/noTemplateCurlyInString: taken from the environment by the agent
    gateway: { url: options.gatewayUrl, password: '${AGENT_PASSWORD}' },
    ...(options.clockTrusted ? { clock: { trusted: options.clockTrusted } } : {}),
    admin: { listen: `${options.adminHost ?? '127.0.0.1'}:${options.adminPort}` },
    inputs: [...serial, ...mqtt, ...(options.withHost ? [{ name: 'host', type: 'host', interval: '5s' }] : [])],
  })
}

function framingOf(device: DeviceConfig) {
  switch (device.serial?.framing) {
    case 'json':
      return { type: 'json-lines', crc: device.serial.checksum }
    case 'csv':
      return { type: 'csv', crc: device.serial.checksum, columns: csvColumns(device) }
    default:
      return { type: 'cobs' }
  }
}
