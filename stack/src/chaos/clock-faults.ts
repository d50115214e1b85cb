/** A clock that jumps by a year, and a machine without a clock battery that starts in 1970. The devices of agent-2 partly have no clock. */
import { type Fault, processOf, startAgain } from './fault.ts'
import type { Rig } from './rig.ts'

const YEAR_SECONDS = 365 * 86_400

const obstacle: NonNullable<Fault['obstacle']> = (abilities) => abilities.clockObstacle

function clockOf({ clock }: Rig): NonNullable<Rig['clock']> {
  if (!clock) throw new Error('there is no clock that could lie')
  return clock
}

const jump: Fault = {
  kind: 'clock-jump',
  says: 'the wall clock of agent-2 jumps by a year while it runs, and back after 8 s',
  variants: ['a year ahead', 'a year back'],
  obstacle,
  async run(rig, variant, { sleep }) {
    const clock = clockOf(rig)
    await clock.setOffset(variant.endsWith('ahead') ? YEAR_SECONDS : -YEAR_SECONDS)
    try {
      await sleep(8_000)
    } finally {
      await clock.setOffset(0)
    }
  },
}

const in1970: Fault = {
  kind: 'clock-1970',
  says: 'agent-2 is killed and starts in 1970; its clock is set right after 12 s',
  variants: ['the gateway is there', 'the gateway cannot be reached at first'],
  obstacle,
  substitute: ({ rebootObstacle }) =>
    rebootObstacle && 'the agent starts in 1970, but can tell that its machine did not start anew',
  async run(rig, variant, { sleep, signal }) {
    const clock = clockOf(rig)
    const agent = processOf(rig, 'agent-2')
    const link = rig.links['agent-2 to gateway']
    await agent.kill('SIGKILL')
    await clock.setTo1970()
    await clock.reboot()
    if (variant.endsWith('at first')) link.set('down')
    try {
      await startAgain(agent, signal)
      await sleep(6_000)
      link.set('up')
      await sleep(6_000)
    } finally {
      link.set('up')
      await clock.setOffset(0)
    }
  },
}

export const clockFaults: readonly Fault[] = [jump, in1970]
