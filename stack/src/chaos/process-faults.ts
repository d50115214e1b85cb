/** Processes that die, alone and together, are started again in the middle of an outage, or stand still. */
import { type Fault, processOf, startAgain } from './fault.ts'
import type { LinkName } from './rig.ts'

const kill: Fault = {
  kind: 'kill',
  says: 'SIGKILL of one process under load; started again after 1 to 4 s',
  variants: ['agent-1', 'agent-2', 'gateway', 'processor', 'nats-server', 'influxd'],
  async run(rig, variant, { random, sleep, signal }) {
    const victim = processOf(rig, variant)
    await victim.kill('SIGKILL')
    await sleep(random.between(1_000, 4_000))
    await startAgain(victim, signal)
  },
}

const killSeveral: Fault = {
  kind: 'kill-several',
  says: 'SIGKILL of two, three or all processes at once; started again together after 1 to 3 s',
  variants: [
    'agent-1 gateway',
    'gateway nats-server',
    'processor influxd',
    'gateway processor nats-server',
    'agent-2 processor',
    'agent-1 agent-2 gateway processor nats-server influxd',
  ],
  async run(rig, variant, { random, sleep, signal }) {
    const victims = variant.split(' ').map((name) => processOf(rig, name))
    await Promise.all(victims.map((victim) => victim.kill('SIGKILL')))
    await sleep(random.between(1_000, 3_000))
    await Promise.all(victims.map((victim) => startAgain(victim, signal)))
  },
}

const RESTARTS: Readonly<Record<string, readonly [process: string, outage: LinkName]>> = {
  'gateway while it cannot reach NATS': ['gateway', 'gateway to NATS'],
  'agent-1 while it cannot reach the gateway': ['agent-1', 'agent-1 to gateway'],
  'processor while it cannot reach InfluxDB': ['processor', 'processor to InfluxDB'],
  'gateway while the processor cannot reach NATS': ['gateway', 'processor to NATS'],
}

const restartInOutage: Fault = {
  kind: 'restart-in-outage',
  says: 'a link is down, and a process that has buffered meanwhile is killed and started again before the link is back',
  variants: Object.keys(RESTARTS),
  async run(rig, variant, { random, sleep, signal }) {
    const [name, outage] = RESTARTS[variant] as (typeof RESTARTS)[string]
    const process = processOf(rig, name)
    rig.links[outage].set('down')
    await sleep(random.between(3_000, 6_000))
    await process.kill('SIGKILL')
    await sleep(1_000)
    // A processor without its store is not ready before the link is back.
    const started = startAgain(process, signal)
    started.catch(() => undefined)
    await sleep(random.between(3_000, 5_000))
    rig.links[outage].set('up')
    await started
  },
}

const freeze: Fault = {
  kind: 'freeze',
  says: 'a process stands still (SIGSTOP) for 12 s, its connections open, and goes on as if nothing had been',
  variants: ['gateway', 'processor', 'nats-server', 'influxd', 'agent-1'],
  async run(rig, variant, { sleep }) {
    const process = processOf(rig, variant)
    await process.kill('SIGSTOP')
    try {
      await sleep(12_000)
    } finally {
      await process.kill('SIGCONT')
    }
  },
}

export const processFaults: readonly Fault[] = [kill, killSeveral, restartInOutage, freeze]
