/**
 * Node-RED, found where it is installed and run inside this process, on a server that listens nowhere: whatever it, its editor and the
 * dashboard serve goes through the gate before that. It installs nothing and calls nobody.
 */
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { type Clock, errorCode, type Logger, type Service, UserError } from '@tributary/runtime'
import type { NodeRegistry } from './nodes.ts'

/** What this was tested with. */
export const NODE_RED_RANGES = { 'node-red': '~4.1.15', '@flowfuse/node-red-dashboard': '~1.31.0' } as const
export const EDITOR_PATH = '/editor'

interface NodeRed {
  init(server: Server, settings: object): void
  start(): Promise<void>
  stop(): Promise<void>
  readonly httpAdmin: RequestListener
  readonly httpNode: RequestListener
}
type Express = () => { use(path: string, app: RequestListener): void } & RequestListener

export interface NodeRedOptions {
  /** Flows, and what Node-RED keeps beside them. */
  readonly folder: string
  /** Our nodes. */
  readonly nodesFolder: string
  readonly flows: string
  readonly title: string
  readonly user: string
  readonly passwordHash: string
  readonly credentialSecret: string
  readonly register: (red: NodeRegistry) => void
}

/** @throws UserError that says what to install */
export function findNodeRed(folder: string): { readonly red: NodeRed; readonly express: Express } {
  const places = [import.meta.url, join(folder, 'package.json')]
  for (const place of places) {
    const require = createRequire(place)
    try {
      const inNodeRed = createRequire(require.resolve('node-red'))
      require.resolve('@flowfuse/node-red-dashboard/package.json')
      return { red: require('node-red'), express: inNodeRed('express') }
    } catch (error) {
      if (errorCode(error) !== 'MODULE_NOT_FOUND') throw error
    }
  }
  const wanted = Object.entries(NODE_RED_RANGES).map(([name, range]) => `'${name}@${range}'`)
  throw new UserError('Node-RED is not installed, and the site view is made of it', {
    hint: `npm install --prefix ${folder} ${wanted.join(' ')}`,
  })
}

/** Behind the gate: `server` gets what the gate lets pass. */
export function createNodeRed(
  options: NodeRedOptions,
  dependencies: { clock: Clock; log: Logger },
): Service & { readonly server: Server } {
  const server = createServer()
  let red: NodeRed | undefined
  return {
    name: 'Node-RED',
    server,
    async start() {
      const found = findNodeRed(options.folder)
      await keepFlows(options.folder, options.flows, dependencies.log)
      red = found.red
      const app = found.express()
      server.on('request', app)
      red.init(server, settingsOf(options, dependencies))
      app.use(EDITOR_PATH, red.httpAdmin)
      app.use('/', red.httpNode)
      await red.start()
    },
    async stop() {
      await red?.stop()
    },
  }
}

function settingsOf(options: NodeRedOptions, { clock, log }: { clock: Clock; log: Logger }): object {
  return {
    userDir: options.folder,
    flowFile: FLOWS,
    flowFilePretty: true,
    nodesDir: [options.nodesFolder],
    tributary: { register: options.register },
    credentialSecret: options.credentialSecret,
    httpAdminRoot: EDITOR_PATH,
    httpNodeRoot: '/',
    adminAuth: {
      type: 'credentials',
      users: [{ username: options.user, password: options.passwordHash, permissions: '*' }],
    },
    telemetry: { enabled: false, updateNotification: false },
    externalModules: {
      autoInstall: false,
      palette: { allowInstall: false, allowUpdate: false, allowUpload: false },
      modules: { allowInstall: false },
    },
    functionExternalModules: false,
    editorTheme: {
      page: { title: options.title },
      header: { title: options.title },
      palette: { catalogues: [] },
      projects: { enabled: false },
      multiplayer: { enabled: false },
      tours: false,
    },
    logging: { tributary: { level: 'info', metrics: false, audit: false, handler: () => logTo(log, clock) } },
  }
}

const NODE_RED_WARN = 30
const LINES_PER_SECOND_MAX = 10

/** A flow that fails at every message must not fill the disk with saying so. */
function logTo(log: Logger, clock: Clock) {
  let second = 0
  let lines = 0
  return ({ level, msg, type, name }: { level: number; msg: unknown; type?: string; name?: string }): void => {
    const now = Math.floor(clock.monotonicMs() / 1_000)
    if (now !== second) {
      if (lines > LINES_PER_SECOND_MAX)
        log.warn({ lines: lines - LINES_PER_SECOND_MAX }, 'lines of flows were left out')
      second = now
      lines = 0
    }
    lines += 1
    const text = typeof msg === 'string' ? msg.trim() : msg instanceof Error ? msg.message : JSON.stringify(msg)
    if (!text || /^=+$/.test(text) || lines > LINES_PER_SECOND_MAX) return
    if (level <= NODE_RED_WARN) log.warn({ node: type, name }, text)
    else log.debug({ node: type, name }, text)
  }
}

const FLOWS = 'flows.json'
const SHIPPED = 'flows.shipped'

/** Our flow comes with each version; one that somebody changed is theirs from then on. */
async function keepFlows(folder: string, flows: string, log: Logger): Promise<void> {
  const read = (name: string) => readFile(join(folder, name), 'utf8').catch(() => undefined)
  const present = await read(FLOWS)
  const digest = (text: string) => createHash('sha256').update(text).digest('hex')
  if (present !== undefined && digest(present) !== (await read(SHIPPED))) {
    log.info({ file: join(folder, FLOWS) }, 'the flows were changed here, and stay as they are')
    return
  }
  await writeFile(join(folder, FLOWS), flows, { mode: 0o600 })
  await writeFile(join(folder, SHIPPED), digest(flows), { mode: 0o600 })
}
