/**
 * From verdicts to episodes that people are told about: pending → firing → resolved. Pure and deterministic, in event time.
 * Guarantee: however the same readings are cut into batches, the same episodes come out, with the same times. Historical
 * data neither fires nor resolves; what it says of the present counts once live data follows, and what it would have fired
 * is recorded as `historical`.
 */
import { type Contracts, outlierSizeOf } from '@tributary/protocol'
import {
  type DetectorFamily,
  hasRelation,
  isLinkDetector,
  sayDuration,
  thresholdName,
  type Verdict,
} from '../detectors/index.ts'
import { VIOLATIONS } from '../detectors/violations.ts'
import { type AlertTransition, type Episode, episodeId, episodeKey } from './episode.ts'
import { compile } from './match.ts'
import { type AlertRule, contractRule, SEVERITIES } from './rule.ts'

/** A detector's verdict about one series, as `observe` or the silence detector's `judge` returned it. */
export interface VerdictChange {
  /** Who delivered it: whose event time the episode waits for. Any name, the same as in `Advance`. */
  readonly agent: string
  readonly site: string
  readonly device: string
  readonly kind: string
  /** '' for silence, which is about a device, and for fields that are watched together. */
  readonly field: string
  readonly detector: { readonly name: string; readonly family: DetectorFamily }
  /** The limit that the detector judges by, when that is the device's own and not the contract's. */
  readonly ownLimit?: { readonly severity: Episode['severity'] } | undefined
  readonly verdict: Verdict
  readonly value: number
  /** Event time of the reading (of silence: the verdict's own time). */
  readonly atMs: number
  /** False for backlog and other old data. */
  readonly live: boolean
  /** Older than what the series' detectors have seen: an episode beside the present one, which only ever is history. */
  readonly past?: boolean | undefined
}

/** An agent's event time moved on: its complete-through in effect. */
export interface Advance {
  readonly agent: string
  readonly completeThroughMs: number
  readonly live: boolean
}

/** Plain JSON, of bounded size, changed in place: part of the checkpoint. */
export interface AlertState {
  /** By series and detector. */
  episodes: Record<string, Episode>
  /** Per site: the one alert that stands for those that were not opened because too many were. */
  digests: Record<string, { startedAtMs: number; suppressed: number }>
  /** Episodes that were not opened, since the state was new. */
  suppressedTotal: number
}

export interface AlertEngine {
  start(): AlertState
  judge(state: AlertState, change: VerdictChange): AlertTransition[]
  /** Also ends episodes whose detector is in no contract any more. */
  advance(state: AlertState, advance: Advance): AlertTransition[]
  /** Nothing more will be heard of the device here: its episodes end with what was last known of them. @param why told in their stead */
  forget(state: AlertState, place: ForgottenPlace, why: string): AlertTransition[]
  /** Pending and firing episodes, most severe first, then oldest first: what `/alerts` answers. */
  open(state: AlertState): Episode[]
  /** As it is written now; undefined for those that contracts imply. */
  ruleNamed(name: string): AlertRule | undefined
}

/** A device of a kind at a site, or one detector of one of its fields. */
export interface ForgottenPlace {
  readonly site: string
  readonly device: string
  readonly kind: string
  readonly field?: string
  readonly detector?: string
}

export interface AlertEngineOptions {
  /** Open episodes a site; further ones are counted in one digest alert. As many again may be dormant; further ones are counted. */
  readonly openEpisodesPerSiteMax: number
}

export const DIGEST_RULE = 'too_many_alerts'

/** @param rules from `alerts.yaml`, in order of precedence; the contracts' own rules stand behind them */
export function createAlertEngine(
  rules: readonly AlertRule[],
  contracts: Contracts,
  { openEpisodesPerSiteMax }: AlertEngineOptions = { openEpisodesPerSiteMax: 200 },
): AlertEngine {
  const matchers = rules.map((rule) => ({ rule, matches: compile(rule.match) }))

  const ruleByName = new Map(rules.map((rule) => [rule.name, rule]))

  function ruleFor(change: VerdictChange): AlertRule & { severity: Episode['severity'] } {
    const { kind, field, detector } = change
    const own = contractRule(contracts.get(kind), kind, field, detector)
    const matched = { ...change, detector: detector.name, family: detector.family }
    const written = matchers.find(({ matches }) => matches(matched))?.rule
    return { ...(written ?? own), severity: written?.severity ?? change.ownLimit?.severity ?? own.severity }
  }

  function transition(episode: Episode, state: AlertTransition['state'], atMs: number, told: boolean): AlertTransition {
    const field = contracts.get(episode.kind)?.fields[episode.field]
    const { id, rule, severity, site, device, kind, detector, value, expected, lower, upper, startedAtMs } = episode
    const lastedMs = (episode.clearedAtMs ?? atMs) - startedAtMs
    return {
      episode: id,
      rule,
      state,
      severity,
      site,
      device,
      kind,
      field: episode.field,
      detector,
      agent: episode.agent,
      family: episode.family,
      label: field?.label ?? '',
      unit: field !== undefined && 'unit' in field ? field.unit : '',
      value,
      expected,
      lower,
      upper,
      message:
        state === 'resolved' ? `over after ${sayDuration(lastedMs)}; it was: ${episode.message}` : episode.message,
      startedAtMs,
      atMs,
      notify: told ? episode.notify : [],
    }
  }

  /** Removes an episode, and the site's digest once half of the room is free again. */
  function close(state: AlertState, key: string, episode: Episode, atMs: number): AlertTransition[] {
    delete state.episodes[key]
    const out: AlertTransition[] = []
    if (episode.state === 'dormant') out.push(...historical(episode, atMs))
    else out.push(transition(episode, 'resolved', atMs, episode.state === 'firing'))
    const digest = state.digests[episode.site]
    if (digest && countIn(state, episode.site, true) * 2 <= openEpisodesPerSiteMax) {
      delete state.digests[episode.site]
      const standIn = digestEpisode(episode.site, digest, openEpisodesPerSiteMax)
      out.push(transition({ ...standIn, clearedAtMs: atMs }, 'resolved', Math.max(atMs, digest.startedAtMs), true))
    }
    return out
  }

  /** What live data would have fired, at the time at which it would have. */
  function historical(episode: Episode, endMs: number): AlertTransition[] {
    const firesAtMs = episode.startedAtMs + episode.forMs
    if (firesAtMs > endMs) return []
    const message = `${episode.message}; over after ${sayDuration(endMs - episode.startedAtMs)}, and known only afterwards`
    return [{ ...transition(episode, 'historical', firesAtMs, false), message }]
  }

  /** All that is older than what live data said has come, and it was not over then. */
  function endPast(state: AlertState, key: string, episode: Episode, nowMs: number): AlertTransition[] {
    const message = `${episode.message}; it went on until live readings followed, and was known only afterwards`
    return close(state, key, episode, nowMs).map((one) => (one.state === 'historical' ? { ...one, message } : one))
  }

  function suppress(state: AlertState, change: VerdictChange): AlertTransition[] {
    state.suppressedTotal += 1
    if (!change.live) return []
    const digest = state.digests[change.site]
    if (digest) {
      digest.suppressed += 1
      return []
    }
    const opened = { startedAtMs: change.atMs, suppressed: 1 }
    state.digests[change.site] = opened
    return [transition(digestEpisode(change.site, opened, openEpisodesPerSiteMax), 'firing', change.atMs, true)]
  }

  /** Not before half of the room is free again. */
  const mayBegin = ({ digests }: AlertState, { site }: Episode): boolean => digests[site] === undefined

  /** A dormant or pending episode goes as far as the time allows. */
  function begin(episode: Episode, atMs: number): AlertTransition {
    episode.state = episode.startedAtMs + episode.forMs <= atMs ? 'firing' : 'pending'
    return transition(episode, episode.state, atMs, episode.state === 'firing')
  }

  function open(state: AlertState, key: string, change: VerdictChange): AlertTransition[] {
    // Of links there are as many as agents, and theirs explain others.
    const isLimited = change.detector.family !== 'link'
    const hasRoom = (isLive: boolean) => !isLimited || countIn(state, change.site, isLive) < openEpisodesPerSiteMax
    const isSuppressed = !hasRoom(change.live)
    const out = isSuppressed ? suppress(state, change) : []
    // As many as may be open are remembered: what still goes on when there is room again is told then.
    if (isSuppressed && !(change.live && hasRoom(false))) return out
    const rule = ruleFor(change)
    const { name: detector, family } = change.detector
    const episode: Episode = {
      id: episodeId(rule.name, key, change.atMs),
      agent: change.agent,
      site: change.site,
      device: change.device,
      kind: change.kind,
      field: change.field,
      detector,
      family,
      ...(change.ownLimit === undefined ? {} : { ownLimit: true as const }),
      ...(change.past ? { past: true as const } : {}),
      rule: rule.name,
      severity: rule.severity,
      state: 'dormant',
      forMs: rule.forMs,
      keepFiringForMs: rule.keepFiringForMs,
      notify: rule.notify ?? 'all',
      startedAtMs: change.atMs,
      clearedAtMs: null,
      seenAtMs: change.atMs,
      ...said(change),
    }
    state.episodes[key] = episode
    return change.live && !isSuppressed ? [begin(episode, change.atMs)] : out
  }

  /** What follows from event time alone, up to but not including `nowMs`: strictly, so that batches may end anywhere. */
  function settle(state: AlertState, key: string, episode: Episode, nowMs: number): AlertTransition[] {
    if (episode.past) return endPast(state, key, episode, nowMs)
    episode.seenAtMs = Math.max(episode.seenAtMs, nowMs)
    const over = episode.clearedAtMs
    if (over !== null) {
      if (episode.state !== 'firing') return close(state, key, episode, over)
      const endMs = over + episode.keepFiringForMs
      return nowMs > endMs ? close(state, key, episode, endMs) : []
    }
    if (episode.state === 'dormant') return mayBegin(state, episode) ? [begin(episode, nowMs)] : []
    const dueMs = episode.startedAtMs + episode.forMs
    return episode.state === 'pending' && nowMs > dueMs ? [begin(episode, dueMs)] : []
  }

  return {
    start: () => ({ episodes: {}, digests: {}, suppressedTotal: 0 }),
    judge(state, change) {
      const key = `${episodeKey({ ...change, detector: change.detector.name })}${change.past ? '/past' : ''}`
      const out: AlertTransition[] = []
      const known = state.episodes[key]
      if (known && change.live && known.state !== 'dormant') out.push(...settle(state, key, known, change.atMs))
      const episode = state.episodes[key]
      if (!episode) return change.verdict.anomalous ? [...out, ...open(state, key, change)] : out
      episode.agent = change.agent
      if (change.verdict.anomalous) {
        if (episode.clearedAtMs !== null || change.verdict.score > episode.score) Object.assign(episode, said(change))
        episode.clearedAtMs = null
        if (change.live && episode.state === 'dormant' && mayBegin(state, episode))
          out.push(begin(episode, change.atMs))
        return out
      }
      if (episode.state !== 'dormant') {
        episode.clearedAtMs ??= change.atMs
        episode.value = change.value
        if (!change.live) return out
        if (episode.state === 'firing' && episode.keepFiringForMs > 0) return out
      }
      return [...out, ...close(state, key, episode, episode.clearedAtMs ?? change.atMs)]
    },
    advance(state, { agent, completeThroughMs, live }) {
      if (!live) return []
      const out: AlertTransition[] = []
      for (const [key, episode] of Object.entries(state.episodes))
        if (episode.agent === agent)
          out.push(
            ...(episode.ownLimit || detectorExists(contracts, episode)
              ? settle(state, key, episode, completeThroughMs)
              : close(state, key, episode, episode.seenAtMs)),
          )
      return out
    },
    forget(state, { site, device, kind, field, detector }, why) {
      const out: AlertTransition[] = []
      for (const [key, episode] of Object.entries(state.episodes))
        if (
          episode.site === site &&
          episode.device === device &&
          episode.kind === kind &&
          (field ?? episode.field) === episode.field &&
          (detector ?? episode.detector) === episode.detector
        )
          for (const ended of close(state, key, episode, episode.seenAtMs))
            out.push(ended.device === device ? { ...ended, message: `${why}; it was: ${episode.message}` } : ended)
      return out
    },
    open: (state) =>
      Object.values(state.episodes)
        .filter((episode) => episode.state !== 'dormant')
        .sort(
          (a, b) =>
            SEVERITIES.indexOf(b.severity) - SEVERITIES.indexOf(a.severity) ||
            a.startedAtMs - b.startedAtMs ||
            (a.id < b.id ? -1 : 1),
        ),
    ruleNamed: (name) => ruleByName.get(name),
  }
}

/** The part of an episode that its most telling verdict decides. */
function said({ verdict, value }: VerdictChange) {
  const { score, message } = verdict
  const { expected = null, lower = null, upper = null } = verdict
  return { value, score, expected, lower, upper, message }
}

/** Those that live data opened, or those that only historical data knows: a backlog must not take the room of what goes on now. */
function countIn({ episodes }: AlertState, site: string, isLive: boolean): number {
  let count = 0
  for (const key in episodes) {
    const episode = episodes[key] as Episode
    if (episode.site === site && (episode.state !== 'dormant') === isLive) count += 1
  }
  return count
}

function detectorExists(contracts: Contracts, { kind, field, detector }: Episode): boolean {
  if (isLinkDetector(detector)) return true
  const contract = contracts.get(kind)
  if (contract === undefined) return false
  if (detector === VIOLATIONS) return true
  if (detector === 'silence') return contract.detectors.silence !== undefined
  if (detector === 'outlier') return outlierSizeOf(contract, field) !== undefined
  if (detector === 'flatline') return field in contract.detectors.flatline
  if (hasRelation(contract, field, detector)) return true
  return contract.thresholds.some((t) => t.field === field && thresholdName(t) === detector)
}

function digestEpisode(site: string, digest: AlertState['digests'][string], max: number): Episode {
  const { startedAtMs, suppressed } = digest
  return {
    id: episodeId(DIGEST_RULE, site, startedAtMs),
    agent: '',
    site,
    device: '*',
    kind: '',
    field: '',
    detector: '',
    rule: DIGEST_RULE,
    severity: 'critical',
    state: 'firing',
    forMs: 0,
    keepFiringForMs: 0,
    notify: 'all',
    startedAtMs,
    clearedAtMs: null,
    seenAtMs: startedAtMs,
    value: suppressed,
    score: 1,
    expected: null,
    lower: null,
    upper: max,
    message: `${max} alerts are open at ${site}; ${suppressed === 1 ? 'a further one is' : `${suppressed} further ones were`} not told singly`,
  }
}
