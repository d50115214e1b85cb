/** The pipeline with everything between its parts that can be broken: relays, a namespace, small disks, an overheard stream. */
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '@tributary/runtime'
import { createAlertReceiver } from '../alert-receiver.ts'
import { freePort } from '../free-port.ts'
import { type AgentPlace, createPipeline, type Pipeline } from '../pipeline.ts'
import { createRelay, type Relay } from '../relay.ts'
import { repositoryFolder } from '../repository.ts'
import type { HeardAlert } from './alert-check.ts'
import { createLyingClock, type LyingClock, lyingClockObstacle, rebootObstacle } from './lying-clock.ts'
import { createShuffle, type Shuffle } from './mqtt-shuffle.ts'
import { createNetworkNamespace, type NetworkNamespace, namespaceObstacle } from './network-namespace.ts'
import { createRandom } from './random.ts'
import { mountObstacle, mountSmallDisk, type SmallDisk, unmountLeftDisks } from './small-disk.ts'
import { createStreamTap, type StreamTap } from './stream-tap.ts'

export const LINKS = [
  'agent-1 to gateway',
  'agent-2 to gateway',
  'gateway to NATS',
  'processor to NATS',
  'processor to InfluxDB',
] as const
export type LinkName = (typeof LINKS)[number]

/** Why this machine cannot do a thing; undefined: it can. */
export interface Abilities {
  readonly namespaceObstacle: string | undefined
  readonly mountObstacle: string | undefined
  readonly rebootObstacle: string | undefined
  readonly clockObstacle: string | undefined
}

export interface Rig {
  readonly folder: string
  readonly pipeline: Pipeline
  readonly links: Readonly<Record<LinkName, Relay>>
  readonly shuffle: Shuffle
  readonly tap: StreamTap
  readonly network: NetworkNamespace | undefined
  /** Of agent-2. */
  readonly clock: LyingClock | undefined
  /** By process. */
  readonly disks: ReadonlyMap<string, SmallDisk>
  /** In order of arrival; the newest 10,000. */
  readonly heard: readonly HeardAlert[]
  start(signal: AbortSignal): Promise<void>
  /** Ends every process and takes away mounts and namespaces; may be called in any state. */
  stop(): Promise<void>
}

export interface RigOptions {
  /** An empty folder. */
  readonly folder: string
  readonly seed: number
  readonly abilities: Abilities
  readonly ratePerSecond?: number | undefined
  readonly siteView: boolean
  readonly say: (text: string) => void
}

const DISK_MEBIBYTES = { 'agent-1': 48, gateway: 80 }
const HEARD_MAX = 10_000

/** @param tryFolder an empty folder where a mount may be tried */
export async function findAbilities(tryFolder: string, say: (text: string) => void): Promise<Abilities> {
  return {
    namespaceObstacle: await namespaceObstacle(),
    mountObstacle: await mountObstacle(tryFolder),
    rebootObstacle: await rebootObstacle(tryFolder),
    clockObstacle: await lyingClockObstacle(say),
  }
}

export async function createRig({ folder, seed, abilities, ratePerSecond, siteView, say }: RigOptions): Promise<Rig> {
  const disks = new Map<string, SmallDisk>()
  let network: NetworkNamespace | undefined
  const takeAway = async () => {
    for (const disk of disks.values()) await disk.unmount()
    disks.clear()
    await network?.remove()
  }
  try {
    await unmountLeftDisks()
    if (abilities.mountObstacle === undefined)
      for (const [name, mebibytes] of Object.entries(DISK_MEBIBYTES)) {
        const mountPoint = join(folder, `${name}-disk`)
        disks.set(name, await mountSmallDisk(mountPoint, mebibytes))
        await mkdir(join(mountPoint, 'spool'))
        await symlink(join(mountPoint, 'spool'), join(folder, `${name}-spool`))
      }
    if (abilities.namespaceObstacle === undefined) network = await createNetworkNamespace()
    return await assemble()
  } catch (error) {
    await takeAway()
    throw error
  }

  async function assemble(): Promise<Rig> {
    const shuffle = createShuffle(createRandom(seed))
    const relayOf = async (name: LinkName, host?: string) =>
      createRelay(name, await freePort(), host, name.startsWith('agent') ? shuffle.makeFilter : undefined)
    const links: Record<LinkName, Relay> = {
      'agent-1 to gateway': await relayOf('agent-1 to gateway', network?.machine),
      'agent-2 to gateway': await relayOf('agent-2 to gateway'),
      'gateway to NATS': await relayOf('gateway to NATS'),
      'processor to NATS': await relayOf('processor to NATS'),
      'processor to InfluxDB': await relayOf('processor to InfluxDB'),
    }
    const clock =
      abilities.clockObstacle === undefined
        ? await createLyingClock(folder, { canReboot: abilities.rebootObstacle === undefined })
        : undefined
    const placeOf = (agent: string): AgentPlace => ({
      gatewayPort: links[`${agent} to gateway` as LinkName].port,
      ...(agent === 'agent-1' && network
        ? { host: network.host, machine: network.machine, wrapper: network.wrapper }
        : {}),
      ...(agent === 'agent-2' && clock
        ? { wrapper: clock.wrapper, environment: clock.environment, clockTrusted: 'never' }
        : {}),
    })
    const heard: HeardAlert[] = []
    const alerts = createAlertReceiver(({ key, payload }) => {
      heard.push({ key, payload, heardAtMs: systemClock.wallMs() })
      if (heard.length > HEARD_MAX) heard.shift()
    })
    await alerts.start()
    const pipeline = await createPipeline({
      dataFolder: folder,
      scenarioFile: join(repositoryFolder, 'stack', 'chaos.yaml'),
      seed,
      ratePerSecond,
      siteView,
      alertWebhookUrl: alerts.url,
      agentPlace: placeOf,
      seenPorts: {
        natsByGateway: links['gateway to NATS'].port,
        natsByProcessor: links['processor to NATS'].port,
        influxByProcessor: links['processor to InfluxDB'].port,
      },
      // On small disks of their own the spools go to the very end.
      ...(disks.size > 0 ? { freeDisk: '0B' } : {}),
      gatewayClockTrusted: 'always',
      say,
    })
    const tap = createStreamTap()
    const portOf = (url: string) => Number(new URL(url).port)
    const targets: Record<LinkName, number> = {
      'agent-1 to gateway': pipeline.urls.gatewayMqttPort,
      'agent-2 to gateway': pipeline.urls.gatewayMqttPort,
      'gateway to NATS': portOf(pipeline.urls.nats),
      'processor to NATS': portOf(pipeline.urls.nats),
      'processor to InfluxDB': portOf(pipeline.urls.influx),
    }
    return {
      folder,
      pipeline,
      links,
      shuffle,
      tap,
      network,
      clock,
      disks,
      heard,
      async start(signal) {
        for (const name of LINKS) await links[name].start(targets[name])
        await Promise.all([tap.start(pipeline.urls.nats), pipeline.start(signal)])
      },
      async stop() {
        const steps = [
          () => tap.stop(),
          () => pipeline.stop(),
          () => alerts.stop(),
          ...Object.values(links).map((relay) => () => relay.stop()),
          takeAway,
        ]
        // Whatever fails, the rest is still taken away.
        const failures: unknown[] = []
        for (const step of steps) await step().catch((error: unknown) => failures.push(error))
        if (failures.length > 0) throw failures[0]
      },
    }
  }
}
