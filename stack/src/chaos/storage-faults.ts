/** What keeps data loses it, is away, or is full. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Fault, processOf, startAgain } from './fault.ts'
import type { Rig } from './rig.ts'

const wipeNats: Fault = {
  kind: 'wipe-nats',
  says: 'nats-server is killed and comes back with an empty disk',
  variants: ['nats-server'],
  async run(rig, _variant, { random, sleep, signal }) {
    await rig.tap.readLetters()
    await rig.pipeline.nats.kill('SIGKILL')
    await rm(join(rig.folder, 'jetstream'), { recursive: true })
    await sleep(random.between(500, 3_000))
    await startAgain(rig.pipeline.nats, signal)
  },
}

const influxDown: Fault = {
  kind: 'influx-down',
  says: 'influxd is killed and stays away for 30 s',
  variants: ['influxd'],
  async run(rig, _variant, { sleep, signal }) {
    await rig.pipeline.influx.kill('SIGKILL')
    await sleep(30_000)
    await startAgain(rig.pipeline.influx, signal)
  },
}

const FULL_MS = 8_000

const diskFull: Fault = {
  kind: 'disk-full',
  says: 'the disk under a spool has not one free block for 8 s',
  variants: ['agent-1', 'gateway'],
  substitute: ({ mountObstacle }) =>
    mountObstacle && 'the process is restarted with a `free_disk` larger than the disk, and restarted again as before',
  async run(rig, variant, { sleep, signal }) {
    const disk = rig.disks.get(variant)
    if (disk) {
      await disk.fill()
      try {
        await sleep(FULL_MS)
        await expectRefusals(rig, variant)
      } finally {
        await disk.clear()
      }
      return
    }
    const process = processOf(rig, variant)
    const file = join(rig.folder, `${variant}.yaml`)
    const config = await readFile(file, 'utf8')
    const restartWith = async (text: string) => {
      await process.stop()
      await writeFile(file, text)
      await startAgain(process, signal)
    }
    await restartWith(config.replace(/free_disk: .*/, 'free_disk: 1000TiB'))
    await sleep(FULL_MS)
    await expectRefusals(rig, variant)
    await restartWith(config)
  },
}

/** A full disk that nobody noticed was none. @throws Error when nothing was refused */
async function expectRefusals({ pipeline }: Rig, name: string): Promise<void> {
  const i = pipeline.agents.findIndex((agent) => agent.name === name)
  const metrics = await (await fetch(`${pipeline.urls.agents[i] ?? pipeline.urls.gateway}/metrics`)).text()
  const counts = [...metrics.matchAll(/^[a-z_]*spool_(?:appends_refused_total|failing)(?:\{.*\})? (\d+)$/gm)]
  if (counts.every(([, count]) => count === '0'))
    throw new Error(`the disk of ${name} was full, and its spool refused nothing`)
}

export const storageFaults: readonly Fault[] = [wipeNats, influxDown, diskFull]
