/** The wiring: what the site view is made of, in the order in which it starts. */
import { readFile } from 'node:fs/promises'
import { createServer as createPlainServer, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { join } from 'node:path'
import type { SiteViewSettings } from '@tributary/gateway'
import { type Contracts, readContracts } from '@tributary/protocol'
import {
  type Clock,
  every,
  type Logger,
  listenError,
  messageOf,
  runInOrder,
  type Service,
  UserError,
} from '@tributary/runtime'
import { createAlertBook } from './alert-book.ts'
import { assetsFolder, shippedContractsFolder } from './assets.ts'
import { createDerivedSender } from './derived-sender.ts'
import type { DownSampler } from './down-sampler.ts'
import { createGate } from './gate.ts'
import { createGatewayLink } from './gateway-link.ts'
import { createGrowth } from './growth.ts'
import { localConditions } from './local-alerts.ts'
import { type Login, USER } from './login.ts'
import { createNodeRed } from './node-red.ts'
import { registerNodes } from './nodes.ts'
import { overviewOf } from './overview.ts'
import { PAGE_PATH, shippedFlow } from './shipped-flow.ts'
import { createSiteState } from './site-state.ts'
import { createStatusReader } from './status-reader.ts'
import { createTapReader } from './tap-reader.ts'

export interface SiteView extends Service {
  readonly url: string
}

const JUDGE_EVERY_MS = 1_000
const CONNECTIONS_MAX = 128

export async function createSiteView(
  settings: SiteViewSettings,
  login: Login,
  { clock, log }: { clock: Clock; log: Logger },
): Promise<SiteView> {
  const dependencies = { clock, log }
  const { folder, gateway, site } = settings
  const contracts = await readContracts(settings.contracts ?? shippedContractsFolder).catch((error): Contracts => {
    throw new UserError(messageOf(error), { cause: error, hint: 'give their folder as site_view.contracts' })
  })
  const title = `${site}: site view`
  const mayBeQuiet = [gateway, settings.agent]
  const state = createSiteState(contracts, dependencies)
  const alerts = createAlertBook(dependencies)
  const growth = createGrowth()
  const samplers = new Set<DownSampler>()
  const link = createGatewayLink(settings.tap, join(folder, 'token'))
  const status = createStatusReader(link, dependencies)
  const tap = createTapReader(
    link,
    (batch) => {
      state.take(batch)
      for (const sampler of samplers) sampler.take(batch)
    },
    dependencies,
  )
  const sender = createDerivedSender(link, contracts, dependencies)
  const judge = () => {
    const { latest } = status
    if (latest) growth.add(latest.backlog.batches, clock.monotonicMs())
    alerts.update(
      localConditions({
        contracts,
        devices: state.devices.values(),
        status: latest,
        tapProblem: tap.problem,
        isBacklogGrowing: growth.isGrowing,
        mayBeQuiet,
        wallMs: clock.wallMs(),
        monotonicMs: clock.monotonicMs(),
        isOpen: alerts.isOpen,
      }),
    )
  }
  const overview = () =>
    overviewOf({
      site,
      gateway,
      status: status.latest,
      problem: tap.problem,
      alerts: alerts.open,
      devices: state.devices,
      devicesBeyond: state.beyond,
      leftOut: tap.dropped + [...samplers].reduce((sum, { dropped }) => sum + dropped, 0),
      mayBeQuiet,
      wallMs: clock.wallMs(),
      monotonicMs: clock.monotonicMs(),
    })
  const nodeRed = createNodeRed(
    {
      folder,
      nodesFolder: join(assetsFolder, 'nodes'),
      flows: shippedFlow(await readFile(join(assetsFolder, 'page', 'site.vue'), 'utf8')),
      title,
      user: USER,
      passwordHash: login.passwordHash,
      credentialSecret: login.credentialSecret,
      register: (red) => registerNodes(red, { samplers, sender, alerts, overview, clock }),
    },
    dependencies,
  )
  const isSecure = settings.tls !== undefined
  const gate = createGate(nodeRed.server, login, { homePath: PAGE_PATH, isSecure, title }, dependencies)
  const front = createFront(settings, gate)
  const running = runInOrder(
    'site view',
    [status, tap, sender, repeating('local alerts', JUDGE_EVERY_MS, judge, clock), nodeRed, front],
    log,
  )
  return {
    ...running,
    get url() {
      const { host } = settings.listen
      return `${isSecure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${front.port}/`
    },
  }
}

function repeating(name: string, everyMs: number, work: () => void, clock: Clock): Service {
  const stopping = new AbortController()
  let running: Promise<void> = Promise.resolve()
  return {
    name,
    async start() {
      running = every(everyMs, work, { clock, signal: stopping.signal })
    },
    async stop() {
      stopping.abort()
      await running
    },
  }
}

/** The only server that listens: what it hears goes to the gate. */
function createFront(
  { listen, tls }: Pick<SiteViewSettings, 'listen' | 'tls'>,
  { request, upgrade }: ReturnType<typeof createGate>,
): Service & { readonly port: number } {
  let server: Server | undefined
  return {
    name: 'web server',
    get port() {
      const address = server?.address()
      return typeof address === 'object' && address !== null ? address.port : listen.port
    },
    async start() {
      const made = tls
        ? createTlsServer({ cert: await readPem(tls.cert, 'cert'), key: await readPem(tls.key, 'key') }, request)
        : createPlainServer(request)
      made.on('upgrade', upgrade)
      made.maxConnections = CONNECTIONS_MAX
      server = made
      await new Promise<void>((resolve, reject) => {
        made.once('error', (error) => reject(listenError(error, 'site_view.listen', listen)))
        made.listen(listen.port, listen.host, resolve)
      })
    },
    stop: () =>
      new Promise((resolve) => {
        if (!server?.listening) {
          resolve()
          return
        }
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const readPem = (file: string, what: string): Promise<string> =>
  readFile(file, 'utf8').catch((error) => {
    throw new UserError(`site_view.tls.${what}: ${file} cannot be read: ${messageOf(error)}`, { cause: error })
  })
