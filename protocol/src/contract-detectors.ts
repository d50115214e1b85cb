/** What a contract may ask detectors for beyond `outlier`, `flatline` and `silence`, and of which fields. */
import { z } from 'zod'
import { duration, identifier } from './contract-values.ts'

/** Fields that are watched together: more would cost much and explain little. */
export const TOGETHER_FIELDS_MAX = 8
const TOGETHER_GROUPS_MAX = 8
const TOGETHER_RULE = `must name 2 to ${TOGETHER_FIELDS_MAX} fields`

const PER_MS = { s: 1_000, min: 60_000, h: 3_600_000 } as const
const RATE = /^([+-]?)(\d+(?:\.\d+)?) *\/ *(s|min|h)$/
export const RATE_RULE =
  'must be a change per time: "5/min" (either way), "+2/s" (rising), "-0.5/h" (falling); per s, min or h'
/** A slope over fewer samples would be noise. */
const RATE_INTERVALS_MIN = 4
const RATE_INTERVALS = 8

const rateLimit = z
  .string(RATE_RULE)
  .regex(RATE, RATE_RULE)
  .transform((text) => {
    const [, sign, amount, per] = RATE.exec(text) as unknown as [string, string, string, keyof typeof PER_MS]
    const direction = sign === '+' ? 'rising' : sign === '-' ? 'falling' : 'either'
    return { direction, amount: Number(amount), per } as const
  })
  .refine(({ amount }) => amount > 0, 'must be more than 0')

export const isRateLimit = (text: string): boolean => rateLimit.safeParse(text).success

const rateSpan = z.strictObject(
  { limit: rateLimit, over: duration.optional() },
  `${RATE_RULE}; or { limit: 5/min, over: 10m }`,
)
/** "5/min", or with the span over which it is judged. */
const rate = z.unknown().transform((given, context) => {
  const isShort = typeof given !== 'object'
  const { success, data, error } = rateSpan.safeParse(isShort ? { limit: given } : given)
  if (success) return { ...data.limit, over: data.over }
  for (const { path, message } of error.issues)
    context.addIssue({ code: 'custom', message, path: isShort ? [] : [...path] })
  return z.NEVER
})
export type RateLimit = z.infer<typeof rate>

export const rateMs = ({ amount, per }: RateLimit): number => amount / PER_MS[per]
/** Over which time a rate is judged, in milliseconds: as given, else a second, minute or hour, and eight samples at least. */
export const rateSpanMs = ({ over, per }: RateLimit, intervalMs: number): number =>
  over ?? Math.max(PER_MS[per], RATE_INTERVALS * intervalMs)

export const relationDetectors = {
  /** How fast a field may change. */
  rate: z.record(identifier, rate).optional(),
  /** Fields whose values outside their range are anomalies, whatever the policy makes of them. */
  out_of_range: z.array(identifier).optional(),
  /** Counters whose falls are told, unless they wrap. */
  counter_reset: z.array(identifier).optional(),
  /** Fields that are compared with the same field of the other devices of the kind at the site. */
  peers: z.array(identifier).optional(),
  /** Groups of fields of a device that move together. */
  together: z
    .array(z.array(identifier).min(2, TOGETHER_RULE).max(TOGETHER_FIELDS_MAX, TOGETHER_RULE))
    .max(TOGETHER_GROUPS_MAX, `must be at most ${TOGETHER_GROUPS_MAX} groups of fields`)
    .optional(),
}

/** The narrowest of these widths that holds a sample of each device; undefined when none does. */
export const peerWidthMs = (widthsMs: readonly number[], intervalMs: number): number | undefined =>
  widthsMs.find((widthMs) => widthMs >= intervalMs)

export type Path = (string | number)[]
export interface ContractMistake {
  readonly path: Path
  readonly message: string
}

interface WatchedContract {
  readonly interval: number
  readonly fields: Readonly<Record<string, { readonly type: string; readonly role?: string | undefined } | undefined>>
  readonly detectors: z.infer<z.ZodObject<typeof relationDetectors>>
}

/** Which fields the detectors name, and where: all are to be numbers that exist. */
export function fieldsNamedBy({ rate = {}, ...lists }: WatchedContract['detectors']): [Path, string][] {
  const named: [Path, string][] = Object.keys(rate).map((name) => [['detectors', 'rate', name], name])
  for (const key of ['out_of_range', 'counter_reset', 'peers'] as const)
    for (const [i, name] of lists[key]?.entries() ?? []) named.push([['detectors', key, i], name])
  for (const [g, group] of lists.together?.entries() ?? [])
    for (const [i, name] of group.entries()) named.push([['detectors', 'together', g, i], name])
  return named
}

/** What is wrong with them besides. @param widthsMs of the contract's windows */
export function detectorMistakes(
  { interval, fields, detectors }: WatchedContract,
  widthsMs: readonly number[],
): ContractMistake[] {
  const mistakes: ContractMistake[] = []
  const mistake = (path: Path, message: string) => mistakes.push({ path: ['detectors', ...path], message })
  const { rate = {}, out_of_range: ranges = [], counter_reset: counters = [], peers = [], together = [] } = detectors
  const roleOf = (name: string) => (Object.hasOwn(fields, name) ? fields[name]?.role : undefined)
  for (const [[, ...path], name] of fieldsNamedBy({ rate, peers, together })) {
    const isRise = path[0] === 'rate' && rate[name]?.direction === 'rising'
    if (roleOf(name) === 'counter' && isRise) continue
    const hint = path[0] === 'rate' && roleOf(name) === 'counter' ? ', but for a rise, such as "+5/min"' : ''
    if (roleOf(name) !== undefined)
      mistake(path, `"${name}" is a ${roleOf(name)}, and only grows: it cannot be watched so${hint}`)
  }
  for (const [name, limit] of Object.entries(rate))
    if (rateSpanMs(limit, interval) < RATE_INTERVALS_MIN * interval)
      mistake(
        ['rate', name, 'over'],
        `must be at least ${RATE_INTERVALS_MIN} times the interval: noise between neighbours is no rate`,
      )
  for (const [i, name] of ranges.entries()) {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (field && !('range' in field && field.range !== undefined))
      mistake(['out_of_range', i], `"${name}" has no range: give it one`)
  }
  for (const [i, name] of counters.entries())
    if (Object.hasOwn(fields, name) && roleOf(name) !== 'counter')
      mistake(['counter_reset', i], `"${name}" is no counter: give it "role: counter"`)
  if (peers.length > 0 && peerWidthMs(widthsMs, interval) === undefined)
    mistake(['peers'], 'compares means of windows: give the contract windows that are at least as wide as its interval')
  for (const [key, names] of Object.entries({ out_of_range: ranges, counter_reset: counters, peers }))
    for (const [i, name] of names.entries())
      if (names.indexOf(name) < i) mistake([key, i], `"${name}" is there already`)
  const groups = together.map((group) => [...group].sort().join('+'))
  for (const [g, group] of together.entries()) {
    if (new Set(group).size < group.length) mistake(['together', g], 'names a field twice')
    if (groups.indexOf(groups[g] as string) < g) mistake(['together', g], 'is there already')
  }
  return mistakes
}
