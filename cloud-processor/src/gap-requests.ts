/**
 * Which gaps are asked for, and when: after `resendAfterMs` of the agent's patience, again with delays that double, up to five
 * minutes, for as long as the gap is open. While it shrinks it is left alone. Epochs in doubt have their watermark asked for
 * at once, gaps each time they are asked for: what a lost state had stored comes in the answer, not in a batch.
 * Nothing of this is part of the state: after a restart the asking begins anew. What is followed is bounded as gaps are.
 */
import { type KeptWatermark, type ResendRequest, resendSubject, type WatermarkQuestion } from '@tributary/protocol'
import type { Clock } from '@tributary/runtime'
import type { RequestsOf } from './account.ts'
import { type Gap, gapsOf } from './deduplicate.ts'
import { isWaiting, patienceOf } from './gaps.ts'
import { type AgentState, agentKeyOf, type EpochState, type PartitionState } from './state.ts'
import type { Publish } from './stored-watermark.ts'

/** Requests whose answer may still be on its way, of one partition. */
export const REQUESTS_OPEN_MAX = 16
/** Sequences in one request: a large gap closes from below, piece by piece. */
export const REQUEST_SEQUENCES_MAX = 1_000
const DELAY_MS_MAX = 5 * 60_000
const QUESTION_FIRST_MS = 1_000
const QUESTIONS_OPEN_MAX = 16

/** @returns undefined when nobody answers, or nobody knows the epoch */
export type AskWatermark = (site: string, question: WatermarkQuestion) => Promise<KeptWatermark | undefined>
export interface Answer {
  readonly site: string
  readonly kept: KeptWatermark
}

interface Followed {
  readonly fromSequence: number
  readonly toSequence: number
  /** Requests since it last shrank below what was asked for. */
  attempts: number
  requested: number
  requestedAtMs: number | null
  /** Monotonic. */
  sentAtMs: number
  dueAtMs: number
  askedThrough: number
}
interface Question {
  attempts: number
  dueAtMs: number
}

export interface GapRequests {
  /** To be called every half a second or so. @param nowMs wall clock */
  look(state: PartitionState, nowMs: number): void
  /** Answers that came since the last call. */
  takeAnswers(): Answer[]
  readonly requestsOf: RequestsOf
  /** Whether there is anything to look at. */
  readonly busy: boolean
}

export function createGapRequests(
  { resendAfterMs }: { resendAfterMs: number },
  {
    publish,
    ask,
    onRequest = () => undefined,
    clock,
  }: { publish: Publish; ask: AskWatermark; onRequest?: (() => void) | undefined; clock: Clock },
): GapRequests {
  let followed = new Map<string, Followed[]>()
  let questions = new Map<string, Question>()
  let asking = 0
  let answers: Answer[] = []

  const question = (agent: AgentState, epoch: string): void => {
    if (asking >= QUESTIONS_OPEN_MAX) return
    asking += 1
    void ask(agent.site, { agent: agent.agent, epoch })
      .then((kept) => {
        if (kept?.agent === agent.agent && kept.epoch === epoch) answers.push({ site: agent.site, kept })
      })
      .catch(() => undefined)
      .finally(() => {
        asking -= 1
      })
  }

  function lookAtDoubt(agent: AgentState, { epoch, doubtSinceMs }: EpochState, next: Map<string, Question>): void {
    if (Number.isNaN(doubtSinceMs)) return
    const key = keyOf(agent, epoch)
    const nowMs = clock.monotonicMs()
    const asked = questions.get(key) ?? { attempts: 0, dueAtMs: nowMs }
    next.set(key, asked)
    if (nowMs < asked.dueAtMs || asking >= QUESTIONS_OPEN_MAX) return
    asked.attempts += 1
    asked.dueAtMs = nowMs + delayMs(QUESTION_FIRST_MS, asked.attempts)
    question(agent, epoch)
  }

  /** What is known of the gap from the last look; a gap that was split inherits from the whole. */
  function follow(known: Followed | undefined, { fromSequence, toSequence }: Gap): Followed {
    const nowMs = clock.monotonicMs()
    if (known === undefined)
      return {
        fromSequence,
        toSequence,
        attempts: 0,
        requested: 0,
        requestedAtMs: null,
        sentAtMs: Number.NEGATIVE_INFINITY,
        dueAtMs: nowMs,
        askedThrough: 0,
      }
    const shrank = known.fromSequence !== fromSequence || known.toSequence !== toSequence
    if (known.attempts > 0 && fromSequence > known.askedThrough)
      return { ...known, fromSequence, toSequence, attempts: 0, dueAtMs: nowMs }
    return {
      ...known,
      fromSequence,
      toSequence,
      dueAtMs: shrank && known.attempts > 0 ? nowMs + delayMs(resendAfterMs, known.attempts) : known.dueAtMs,
    }
  }

  function request(agent: AgentState, epoch: string, gap: Followed, wallMs: number): void {
    const nowMs = clock.monotonicMs()
    gap.askedThrough = Math.min(gap.toSequence, gap.fromSequence + REQUEST_SEQUENCES_MAX - 1)
    gap.attempts += 1
    gap.requested += 1
    gap.requestedAtMs = wallMs
    gap.sentAtMs = nowMs
    gap.dueAtMs = nowMs + delayMs(resendAfterMs, gap.attempts)
    const message: ResendRequest = {
      agent: agent.agent,
      epoch,
      fromSequence: gap.fromSequence,
      toSequence: gap.askedThrough,
    }
    publish(resendSubject(agent.site), Buffer.from(JSON.stringify(message), 'utf8'))
    onRequest()
    question(agent, epoch)
  }

  return {
    get busy() {
      return followed.size > 0 || questions.size > 0 || answers.length > 0
    },
    look(state, wallMs) {
      const nextFollowed = new Map<string, Followed[]>()
      const nextQuestions = new Map<string, Question>()
      const due: { agent: AgentState; epoch: string; gap: Followed }[] = []
      let open = 0
      for (const agent of state.agents.values()) {
        const waiting = isWaiting(agent)
        for (const epoch of agent.epochs.values()) {
          lookAtDoubt(agent, epoch, nextQuestions)
          const { runs } = epoch.sequences
          if (runs.length === 0 || (runs.length === 1 && runs[0]?.from === 1)) continue
          const key = keyOf(agent, epoch.epoch)
          const before = followed.get(key) ?? []
          const gaps = gapsOf(epoch.sequences)
          let at = 0
          const now = gaps.map((gap) => {
            while ((before[at]?.toSequence ?? Number.POSITIVE_INFINITY) < gap.fromSequence) at += 1
            const known = before[at]
            return follow(known && known.fromSequence <= gap.toSequence ? known : undefined, gap)
          })
          nextFollowed.set(key, now)
          for (const [i, gap] of now.entries()) {
            if (clock.monotonicMs() - gap.sentAtMs < resendAfterMs) open += 1
            const { seenPatienceMs } = gaps[i] as Gap
            if (waiting || patienceOf(agent, wallMs) - seenPatienceMs < resendAfterMs) continue
            if (clock.monotonicMs() >= gap.dueAtMs) due.push({ agent, epoch: epoch.epoch, gap })
          }
        }
      }
      followed = nextFollowed
      questions = nextQuestions
      // Who waits longest comes first, so that many gaps of one agent keep nobody else's from being asked for.
      due.sort((a, b) => a.gap.dueAtMs - b.gap.dueAtMs)
      for (const { agent, epoch, gap } of due.slice(0, Math.max(0, REQUESTS_OPEN_MAX - open)))
        request(agent, epoch, gap, wallMs)
    },
    takeAnswers() {
      const taken = answers
      answers = []
      return taken
    },
    requestsOf(agent, epoch, { fromSequence, toSequence }) {
      const gap = followed
        .get(keyOf(agent, epoch))
        ?.find((one) => one.fromSequence <= toSequence && fromSequence <= one.toSequence)
      return { requested: gap?.requested ?? 0, requestedAtMs: gap?.requestedAtMs ?? null }
    },
  }
}

const keyOf = (agent: AgentState, epoch: string): string => `${agentKeyOf(agent)}/${epoch}`
const delayMs = (firstMs: number, attempts: number): number => Math.min(firstMs * 2 ** (attempts - 1), DELAY_MS_MAX)
