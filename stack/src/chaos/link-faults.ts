/** Links that break, fall silent, repeat themselves and get things out of order. */
import type { Fault } from './fault.ts'
import { LINKS, type LinkName } from './rig.ts'

const linkDown: Fault = {
  kind: 'link-down',
  says: 'connections of one link are reset and new ones refused for 6 to 12 s',
  variants: LINKS,
  async run(rig, variant, { random, sleep }) {
    rig.links[variant as LinkName].set('down')
    await sleep(random.between(6_000, 12_000))
    rig.links[variant as LinkName].set('up')
  },
}

const halfOpen: Fault = {
  kind: 'half-open',
  says: 'one link swallows everything for 6 to 12 s and tells nobody; the connections of that time stay dead for good',
  variants: LINKS,
  async run(rig, variant, { random, sleep }) {
    rig.links[variant as LinkName].set('half-open')
    await sleep(random.between(6_000, 12_000))
    rig.links[variant as LinkName].set('up')
  },
}

const cable: Fault = {
  kind: 'cable',
  says: "agent-1 lives in a network namespace; its network card is down for 8 to 15 s, and the kernel's TCP copes",
  variants: ['agent-1'],
  obstacle: (abilities) => abilities.namespaceObstacle,
  async run({ network }, _variant, { random, sleep }) {
    await network?.pullCable()
    try {
      await sleep(random.between(8_000, 15_000))
    } finally {
      await network?.plugIn()
    }
  },
}

const repeat: Fault = {
  kind: 'repeat',
  says: 'for 8 s every batch of the agents comes with three copies of earlier ones; then the last 100 batches are put into the stream again, shuffled',
  variants: ['both agents'],
  async run(rig, _variant, { random, sleep, say }) {
    const before = rig.shuffle.counts.repeated
    rig.shuffle.set('repeat')
    await sleep(8_000)
    rig.shuffle.set('off')
    const inStream = await rig.tap.repeatBatches(random)
    say(`${rig.shuffle.counts.repeated - before} batches repeated on the link, ${inStream} in the stream`)
  },
}

const reorder: Fault = {
  kind: 'reorder',
  says: 'for 10 s the batches of the agents are held back for 1.5 s each time and reach the gateway in another order',
  variants: ['both agents'],
  async run(rig, _variant, { sleep, say }) {
    const before = rig.shuffle.counts.reordered
    rig.shuffle.set('reorder')
    await sleep(10_000)
    rig.shuffle.set('off')
    say(`${rig.shuffle.counts.reordered - before} batches were not in their place`)
  },
}

export const linkFaults: readonly Fault[] = [linkDown, halfOpen, cable, repeat, reorder]
