/**
 * The peer: Node-RED 4 with node-red-contrib-influxdb. The MQTT node parses JSON and the batch node writes many points in a request; between
 * them, in the fastest form that its nodes allow, one function makes points of whole messages and collects them; as flows are usually built, a function
 * makes points and the join node collects them. Fetched by npm once, in exact versions, into `.tributary/peers/`; it is no dependency of the product.
 */
import { execFile } from 'node:child_process'
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createInfluxQuery } from '@tributary/cloud-processor'
import { messageOf, UserError } from '@tributary/runtime'
import { createInfluxServer, createManagedProcess, findServer, freePort, repositoryFolder } from '@tributary/stack'
import type { StoragePath } from '../pipeline/storage-path.ts'
import { KIND, SITE } from '../pipeline/workload.ts'

const run = promisify(execFile)

const VERSIONS = { 'node-red': '4.1.8', 'node-red-contrib-influxdb': '0.7.0' } as const
const INSTALL_MS_MAX = 10 * 60_000
const POINTS_PER_WRITE = 5_000
const POINTS_PER_JOIN = 1_000
const COLLECT_SECONDS = 0.5
const DATABASE = 'nodered'

export const nodeRedVersions = Object.entries(VERSIONS)
  .map(([name, version]) => `${name} ${version}`)
  .join(', ')

/**
 * @param say is told about long work
 * @returns the folder that has both in its `node_modules`
 * @throws UserError when npm cannot fetch them
 */
export async function installNodeRed(say: (text: string) => void): Promise<string> {
  const folder = join(repositoryFolder, '.tributary', 'peers', `node-red-${VERSIONS['node-red']}`)
  const isThere = await access(folder).then(
    () => true,
    () => false,
  )
  if (isThere) return folder
  say(`fetching ${nodeRedVersions} from npm (once, some 100 MB)`)
  const fetching = `${folder}.fetching`
  await rm(fetching, { recursive: true, force: true })
  await mkdir(fetching, { recursive: true })
  const manifest = { name: 'tributary-peers', private: true, dependencies: VERSIONS }
  await writeFile(join(fetching, 'package.json'), JSON.stringify(manifest))
  try {
    const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--omit=dev', '--loglevel=error']
    await run('npm', ['install', ...options], { cwd: fetching, timeout: INSTALL_MS_MAX, maxBuffer: 1 << 24 })
  } catch (error) {
    await rm(fetching, { recursive: true, force: true })
    const why = messageOf(error)
      .split('\n')
      .find((line) => /^npm (error|ERR!) (?!code|errno|syscall|A complete log)/.test(line))
    throw new UserError(`npm could not fetch ${nodeRedVersions}: ${why ?? messageOf(error)}`, {
      cause: error,
      hint: `this part needs npm's registry once; without it, copy ${folder} from a machine that has it`,
    })
  }
  await rename(fetching, folder)
  return folder
}

/** Messages of one sample and of lists of samples are taken alike; a tick writes what has waited. */
const COLLECT = `const waiting = context.get('waiting') || []
if (msg.topic !== 'tick') {
  const device = msg.topic.split('/')[1]
  const samples = Array.isArray(msg.payload) ? msg.payload : [msg.payload]
  for (const { time_ms, ...fields } of samples)
    waiting.push({ measurement: '${KIND}', tags: { site: '${SITE}', device }, fields, timestamp: time_ms })
}
if (waiting.length === 0 || (msg.topic !== 'tick' && waiting.length < ${POINTS_PER_WRITE})) {
  context.set('waiting', waiting)
  return null
}
context.set('waiting', [])
return { payload: waiting }`

/** A message a point, for the join node. */
const SPLIT = `const device = msg.topic.split('/')[1]
const samples = Array.isArray(msg.payload) ? msg.payload : [msg.payload]
return [samples.map(({ time_ms, ...fields }) => ({
  payload: { measurement: '${KIND}', tags: { site: '${SITE}', device }, fields, timestamp: time_ms },
}))]`

/** Who collects points. */
export type Collector = 'function' | 'join'

function flow(brokerPort: number, influxPort: number, collector: Collector): object[] {
  const node = (id: string, type: string, rest: object) => ({ id, type, z: 'flow', name: '', x: 0, y: 0, ...rest })
  return [
    { id: 'flow', type: 'tab', label: 'peer', disabled: false },
    {
      id: 'broker',
      type: 'mqtt-broker',
      broker: '127.0.0.1',
      port: String(brokerPort),
      clientid: 'node-red',
      autoConnect: true,
      usetls: false,
      protocolVersion: '4',
      keepalive: '60',
      cleansession: true,
      autoUnsubscribe: true,
    },
    {
      id: 'database',
      type: 'influxdb',
      hostname: '127.0.0.1',
      port: String(influxPort),
      protocol: 'http',
      database: DATABASE,
      influxdbVersion: '1.x',
      usetls: false,
      tls: '',
      timeout: '10',
    },
    node('sensors', 'mqtt in', {
      topic: 'sensors/+/sample',
      qos: '1',
      datatype: 'json',
      broker: 'broker',
      inputs: 0,
      wires: [['collect']],
    }),
    ...(collector === 'function'
      ? [
          node('tick', 'inject', {
            props: [{ p: 'topic', vt: 'str' }],
            repeat: String(COLLECT_SECONDS),
            topic: 'tick',
            once: true,
            wires: [['collect']],
          }),
          node('collect', 'function', { func: COLLECT, outputs: 1, timeout: 0, libs: [], wires: [['write']] }),
        ]
      : [
          node('collect', 'function', { func: SPLIT, outputs: 1, timeout: 0, libs: [], wires: [['join']] }),
          node('join', 'join', {
            mode: 'custom',
            build: 'array',
            property: 'payload',
            propertyType: 'msg',
            accumulate: false,
            timeout: String(COLLECT_SECONDS),
            count: String(POINTS_PER_JOIN),
            wires: [['write']],
          }),
        ]),
    node('write', 'influxdb batch', { influxdb: 'database', precision: 'ms', retentionPolicy: '', wires: [] }),
  ]
}

export async function createNodeRed(
  folder: string,
  installed: string,
  brokerPort: number,
  collector: Collector,
): Promise<StoragePath> {
  await mkdir(folder)
  const ports = { http: await freePort(), rpc: await freePort() }
  const influx = await createInfluxServer(await findServer('influxd'), folder, ports)
  const settings = {
    uiHost: '127.0.0.1',
    uiPort: await freePort(),
    userDir: folder,
    nodesDir: join(installed, 'node_modules', 'node-red-contrib-influxdb'),
    flowFile: 'flows.json',
    credentialSecret: false,
    disableEditor: true,
    telemetry: { enabled: false },
    logging: { console: { level: 'info', metrics: false, audit: false } },
  }
  await writeFile(join(folder, 'settings.js'), `module.exports = ${JSON.stringify(settings)}\n`)
  await writeFile(join(folder, 'flows.json'), JSON.stringify(flow(brokerPort, ports.http, collector)))
  const logFile = join(folder, 'node-red.log')
  const nodeRed = createManagedProcess({
    name: 'node-red',
    program: process.execPath,
    arguments: [
      join(installed, 'node_modules', 'node-red', 'red.js'),
      '--settings',
      join(folder, 'settings.js'),
      '--userDir',
      folder,
    ],
    logFile,
    isReady: async () => /Connected to broker/.test(await readFile(logFile, 'utf8')),
  })
  const query = createInfluxQuery({ url: influx.url, version: '1', database: DATABASE })
  return {
    name: 'Node-RED',
    influx,
    processes: [nodeRed, influx],
    query,
    async start() {
      await influx.start()
      await query(`CREATE DATABASE "${DATABASE}"`)
      await nodeRed.start()
    },
    async stop() {
      await query.close()
      await nodeRed.stop()
      await influx.stop()
    },
  }
}
