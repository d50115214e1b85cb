/** What happens on a bench: cables pulled, plugs mistaken, lines that crackle. The simulator brings it about on real pseudo-terminals. */
import type { Fault } from './fault.ts'
import type { Rig } from './rig.ts'

async function ask({ pipeline }: Rig, request: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<void> {
  const response = await fetch(`${pipeline.urls.simulator}/fault`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
    signal,
  })
  if (!response.ok) throw new Error(`the simulator refused ${JSON.stringify(request)}: ${await response.text()}`)
}

const SERIAL_DEVICES = ['pump-1', 'thermometer-1', 'thermometer-2', 'power-1', 'tank-1']

const garble: Fault = {
  kind: 'serial-garbled',
  says: 'on every serial line half of the frames have flipped bits, are cut or stand among garbage, for 6 s',
  variants: ['all serial devices'],
  async run(rig, _variant, { sleep, signal }) {
    await ask(rig, { fault: 'garble', devices: SERIAL_DEVICES, forMs: 6_000, share: 0.5 }, signal)
    await sleep(6_500)
  },
}

const unplug: Fault = {
  kind: 'serial-unplugged',
  says: 'serial devices are unplugged for 3 to 7 s, or vanish within milliseconds whenever their port is opened',
  variants: ['two devices unplugged', 'one device that vanishes'],
  async run(rig, variant, { random, sleep, signal }) {
    const forMs = Math.round(random.between(3_000, 7_000))
    const devices = random.shuffle(SERIAL_DEVICES).slice(0, variant.startsWith('two') ? 2 : 1)
    await ask(rig, { fault: variant.startsWith('two') ? 'unplug' : 'vanish', devices, forMs }, signal)
    await sleep(forMs + 500)
  },
}

const swap: Fault = {
  kind: 'serial-swapped',
  says: 'two serial devices are plugged in at each other’s port for 6 s, then back',
  variants: ['thermometer-1 and thermometer-2'],
  async run(rig, variant, { sleep, signal }) {
    await ask(rig, { fault: 'swap', devices: variant.split(' and '), forMs: 6_000 }, signal)
    await sleep(7_000)
  },
}

export const serialFaults: readonly Fault[] = [garble, unplug, swap]
