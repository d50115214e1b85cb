/**
 * Too many readings of a device that its contract refused, in a time: counted in tenths of that time, by when they were measured. It is over
 * when fewer than half as many are left. The time passes with the agent's complete-through: a link that is down ends nothing.
 */

export const VIOLATIONS = 'violations'

export interface ViolationLimit {
  readonly count: number
  readonly withinMs: number
}

/** Plain JSON of bounded size. */
export interface ViolationState {
  /** By which time they were counted: tenths of another one are others. Absent in states from before it was kept. */
  withinMs?: number
  /** Number of the newest tenth. */
  tenth: number
  /** Refused readings of the last ten tenths, the newest last. */
  counts: number[]
  many: boolean
}

const TENTHS = 10

export const startViolations = (): ViolationState => ({ tenth: 0, counts: [], many: false })

const sumOf = ({ counts }: ViolationState): number => counts.reduce((sum, count) => sum + count, 0)

/** @returns how many there are, when they became too many with these. What is older than all that is counted is passed over. */
export function countRefused(
  state: ViolationState,
  { count, withinMs }: ViolationLimit,
  timeMs: number,
  readings: number,
): number | undefined {
  countBy(state, withinMs)
  const tenth = Math.floor(timeMs / (withinMs / TENTHS))
  if (tenth > state.tenth) moveTo(state, tenth)
  const at = state.counts.length - 1 - (state.tenth - tenth)
  if (at < 0) return undefined
  state.counts[at] = (state.counts[at] as number) + readings
  const sum = sumOf(state)
  if (state.many || sum < count) return undefined
  state.many = true
  return sum
}

/** @returns when they were few enough again; undefined: nothing has changed */
export function passTime(
  state: ViolationState,
  { count, withinMs }: ViolationLimit,
  completeThroughMs: number,
): number | undefined {
  countBy(state, withinMs)
  const tenthMs = withinMs / TENTHS
  const through = Math.floor(completeThroughMs / tenthMs)
  while (state.tenth < through) {
    // Ten steps empty it, however long the way is.
    moveTo(state, sumOf(state) === 0 ? through : state.tenth + 1)
    if (!state.many || sumOf(state) * 2 >= count) continue
    state.many = false
    return state.tenth * tenthMs
  }
  return undefined
}

/** When the time is another one, what was counted stands in the tenth of it in which the newest was. */
function countBy(state: ViolationState, withinMs: number): void {
  const beforeMs = state.withinMs ?? withinMs
  state.withinMs = withinMs
  if (beforeMs === withinMs || state.counts.length === 0) return
  state.counts = [...new Array<number>(TENTHS - 1).fill(0), sumOf(state)]
  state.tenth = Math.floor((state.tenth * beforeMs) / withinMs)
}

function moveTo(state: ViolationState, tenth: number): void {
  const steps = state.counts.length === 0 ? TENTHS : Math.min(TENTHS, tenth - state.tenth)
  state.counts = [...state.counts, ...new Array<number>(steps).fill(0)].slice(-TENTHS)
  state.tenth = tenth
}
