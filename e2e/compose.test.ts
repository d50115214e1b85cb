/** The compose file, the Dockerfile and the configs they mount agree with each other and with the code. */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { processorConfigSchema } from '@tributary/cloud-processor'
import { agentConfigSchema } from '@tributary/edge-agent'
import { loadScenario } from '@tributary/firmware-sim'
import { gatewayConfigSchema } from '@tributary/gateway'
import { readContracts } from '@tributary/protocol'
import { loadConfig } from '@tributary/runtime'
import { findServer, repositoryFolder } from '@tributary/stack'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'

interface ComposeService {
  image?: string
  build?: { dockerfile: string; target: string }
  depends_on?: Record<string, { condition: string }> | string[]
  environment?: Record<string, string>
  ports?: string[]
  volumes?: string[]
  healthcheck?: { test?: string[]; disable?: boolean }
  profiles?: string[]
}
const at = (path: string) => join(repositoryFolder, path)
const text = (path: string) => readFileSync(at(path), 'utf8')
const compose = parse(text('docker-compose.yml')) as {
  services: Record<string, ComposeService>
  volumes: Record<string, unknown>
}
const services = Object.entries(compose.services)
const dockerfile = text('deploy/Dockerfile')
const service = (name: string): ComposeService => compose.services[name] as ComposeService
/** A stand-in for every variable: a config must load with what compose passes to its service, and nothing else. */
const environmentOf = (name: string) =>
  Object.fromEntries(Object.keys(service(name).environment ?? {}).map((key) => [key, 'a-secret-of-enough-length']))
const mountsOf = ({ volumes = [] }: ComposeService) => volumes.map((v) => v.split(':') as [string, string, string?])
const stage = (target: string) =>
  /[\s\S]*?(?=\nFROM |$)/.exec(dockerfile.slice(dockerfile.indexOf(` AS ${target}\n`)))?.[0] ?? ''

describe('docker-compose.yml', () => {
  test('has the pipeline, and the simulated devices in a profile', () => {
    expect(Object.keys(compose.services)).toEqual(
      expect.arrayContaining([
        'nats',
        'influxdb',
        'grafana',
        'gateway',
        'cloud-processor',
        'simulator',
        'agent-1',
        'agent-2',
      ]),
    )
    expect(services.filter(([, s]) => s.profiles?.includes('sim')).map(([name]) => name)).toEqual([
      'simulator',
      'agent-1',
      'agent-2',
    ])
  })

  test('every image is pinned to a version, every build target is a stage', () => {
    for (const [name, { image, build }] of services) {
      if (image) expect(image, name).toMatch(/:[\w.-]*\d/)
      else {
        expect(existsSync(at(build?.dockerfile ?? '')), name).toBe(true)
        expect(dockerfile, name).toContain(` AS ${build?.target}\n`)
      }
    }
  })

  test('every service has a health check, its own or its image’s', () => {
    for (const [name, { healthcheck, build }] of services) {
      if (name === 'credentials') continue
      expect(healthcheck?.test !== undefined || /HEALTHCHECK/.test(stage(build?.target ?? '')), name).toBe(true)
    }
  })

  test('mounted files exist, named volumes are declared, and none is left over', () => {
    const used = new Set<string>()
    for (const [name, one] of services)
      for (const [source] of mountsOf(one)) {
        if (source.startsWith('./')) expect(existsSync(at(source)), `${name}: ${source}`).toBe(true)
        else used.add(source)
      }
    expect([...used].sort()).toEqual(Object.keys(compose.volumes).sort())
  })

  test('what a service waits for is there, and can become healthy', () => {
    for (const [name, { depends_on = [] }] of services)
      for (const other of Array.isArray(depends_on) ? depends_on : Object.keys(depends_on))
        expect(Object.keys(compose.services), name).toContain(other)
  })

  test('.env.example names exactly the variables in use, and no password has a default', () => {
    const used = new Set([...text('docker-compose.yml').matchAll(/(?<!\$)\$\{(\w+)/g)].map((m) => m[1]))
    const example = new Map(
      text('.env.example')
        .split('\n')
        .filter((line) => /^\w+=/.test(line))
        .map((line) => line.split('=') as [string, string]),
    )
    expect([...example.keys()].sort()).toEqual([...used].sort())
    for (const [name, value] of example) if (/TOKEN|PASSWORD/.test(name)) expect(value, name).toBe('')
    for (const name of example.keys())
      if (/TOKEN|PASSWORD/.test(name)) expect(text('docker-compose.yml'), name).toMatch(new RegExp(`\\$\\{${name}:\\?`))
  })
})

describe('the configs that compose mounts', () => {
  test('gateway: loads, listens where the port is published, finds NATS', async () => {
    const config = await loadConfig(at('deploy/compose/gateway.yaml'), gatewayConfigSchema, environmentOf('gateway'))
    expect(service('gateway').ports).toEqual([`\${GATEWAY_MQTT_PORT:-1883}:${config.mqtt.listen.port}`])
    expect(new URL(config.nats.url).hostname).toBe('nats')
    expect(stage('gateway')).toContain(`127.0.0.1:${config.admin.listen.port}/healthz`)
    expect(config.spool.folder.startsWith('/var/lib/tributary/')).toBe(true)
    expect(mountsOf(service('credentials')).map(([volume]) => volume)).toEqual(
      mountsOf(service('gateway'))
        .filter(([s]) => !s.startsWith('.'))
        .map(([volume]) => volume),
    )
  })

  test('processor: loads, finds NATS, InfluxDB, contracts and registry', async () => {
    const config = await loadConfig(
      at('deploy/compose/processor.yaml'),
      processorConfigSchema,
      environmentOf('cloud-processor'),
    )
    expect(new URL(config.nats.url).hostname).toBe('nats')
    expect(new URL(config.influx.url).hostname).toBe('influxdb')
    expect(service('cloud-processor').ports).toEqual([`127.0.0.1:9603:${config.admin.listen.port}`])
    expect(service('influxdb').environment?.['DOCKER_INFLUXDB_INIT_BUCKET']).toBe(`${config.influx.database}/autogen`)
    expect(config.contracts).toBe('/opt/tributary/contracts')
    expect(text('cli/build.ts')).toContain("cp(join(root, 'contracts'), join(folder, 'contracts')")
  })

  for (const agent of ['agent-1', 'agent-2'])
    test(`${agent}: loads, finds the gateway and the simulator's broker; its password is set at the gateway`, async () => {
      const config = await loadConfig(at(`deploy/compose/${agent}.yaml`), agentConfigSchema, environmentOf(agent))
      expect(config.agent).toBe(agent)
      expect(new URL(config.gateway.url).hostname).toBe('gateway')
      expect(JSON.stringify(service('credentials'))).toContain(`agents.passwd ${agent}`)
      expect(stage('simulator')).toContain('"--mqtt-port", "1884"')
      for (const input of config.inputs) if (input.type === 'mqtt') expect(input.url).toBe('mqtt://simulator:1884')
    })

  test('the two agents and the simulator speak of the same devices, with kinds that have contracts', async () => {
    const scenario = await loadScenario('mqtt-only')
    const contracts = await readContracts(at('contracts'))
    const devices: string[] = []
    for (const agent of ['agent-1', 'agent-2']) {
      const config = parse(text(`deploy/compose/${agent}.yaml`)) as {
        inputs: { topics?: { device: string; kind: string }[] }[]
      }
      for (const { topics = [] } of config.inputs)
        for (const topic of topics) {
          devices.push(topic.device)
          expect(contracts.has(topic.kind), topic.kind).toBe(true)
        }
    }
    expect(devices.sort()).toEqual(scenario.devices.map((d) => d.name).sort())
  })
})

describe('Dockerfile', () => {
  test('runs as an ordinary user, and copies only what the build makes', () => {
    expect(dockerfile).toMatch(/\nUSER tributary\n/)
    for (const [, source] of dockerfile.matchAll(/COPY --from=build \/build\/(\S+)/g))
      expect(['dist/edge-agent/', 'dist/tributary/']).toContain(source)
  })

  test('copies the manifest of every workspace before `npm ci`', () => {
    const { workspaces } = JSON.parse(text('package.json')) as { workspaces: string[] }
    for (const workspace of workspaces) expect(dockerfile).toContain(`COPY ${workspace}/package.json ${workspace}/`)
  })
})

describe('nats-server.conf', () => {
  test('syncs every write; the rest is accepted by a real nats-server', async () => {
    const config = text('deploy/nats-server.conf')
    expect(config).toContain('sync_interval: always')
    // Debian's 2.9 does not know that one key.
    const file = join(mkdtempSync(join(tmpdir(), 'tributary-nats-')), 'nats.conf')
    writeFileSync(file, config.replace(/^\s*sync_interval.*$/m, ''))
    const { path, environment } = await findServer('nats-server')
    const { stderr } = await promisify(execFile)(path, ['-t', '-c', file], {
      env: { ...process.env, ...environment, NATS_TOKEN: 'a-token' },
    })
    expect(stderr).toContain('configuration file')
  })
})

describe('Grafana', () => {
  const mounts = mountsOf(service('grafana')).filter(([source]) => source.startsWith('./'))

  test('every provisioning file that compose mounts is built', () => {
    expect(
      readdirSync(at('dashboards/provisioning/dashboards')).filter((f) => f.endsWith('.json')).length,
    ).toBeGreaterThanOrEqual(3)
    expect(readdirSync(at('dashboards/provisioning/alerting')).sort()).toEqual([
      'contact-points.yaml',
      'policies.yaml',
      'rules.yaml',
      'templates.yaml',
    ])
    for (const folder of ['datasources', 'dashboards', 'alerting'])
      expect(mounts.map(([, target]) => target).join(), folder).toContain(`/etc/grafana/provisioning/${folder}`)
  })

  test('has every variable that those files take from the environment', () => {
    const files = mounts.flatMap(([source]) =>
      source.endsWith('.yaml') ? [source] : readdirSync(at(source)).map((file) => join(source, file)),
    )
    const used = files
      .filter((file) => file.endsWith('.yaml'))
      .flatMap((file) =>
        [
          ...text(file)
            .replace(/^#.*$/gm, '')
            .matchAll(/\$\{?(TRIBUTARY_\w+)/g),
        ].map((m) => m[1]),
      )
    expect(new Set(used).size).toBe(6)
    expect(Object.keys(service('grafana').environment ?? {})).toEqual(expect.arrayContaining(used))
  })
})
