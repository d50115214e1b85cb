/** From a message of the stream to what `step` takes: decoded, or refused as a whole. Pure. */
import {
  type Batch,
  type BatchHeader,
  DecodeError,
  decodeBatch,
  decodeHeader,
  isOperatorSubject,
  isTickSubject,
  type OperatorRequest,
  operatorRequest,
  parseControlMessage,
  parseRequeueSubject,
  parseTelemetrySubject,
  type RequeueRequest,
  requeueRequest,
} from '@tributary/protocol'
import { messageOf } from '@tributary/runtime'

export interface Delivery {
  readonly subject: string
  readonly bytes: Uint8Array
  readonly streamSequence: number
  /** When the stream received it, milliseconds since 1970. */
  readonly receivedAtMs: number
}

interface Taken {
  readonly site: string
  /** From the subject: the gateway has checked it. */
  readonly agent: string
  readonly streamSequence: number
  readonly receivedAtMs: number
}
export interface TakenBatch extends Taken {
  readonly batch: Batch
  readonly request?: undefined
  readonly asked?: undefined
}
export interface TakenRefusal extends Taken {
  readonly batch: undefined
  readonly request?: undefined
  readonly asked?: undefined
  readonly reason: string
  readonly detail: string
  readonly bytes: Uint8Array
  /** When at least that could be read: the batch is accounted for then. */
  readonly header: BatchHeader | undefined
}
/** A dead letter that is to be requeued or dropped. */
export interface TakenRequeue extends Taken {
  readonly batch: undefined
  readonly request: RequeueRequest
  readonly asked?: undefined
}
/** Not of any agent: what an operator asks of the partition, or that time goes on. */
export interface TakenOperation extends Taken {
  readonly batch: undefined
  readonly request?: undefined
  readonly asked: OperatorRequest | 'tick'
}
export type Intake = TakenBatch | TakenRefusal | TakenRequeue | TakenOperation

export function takeIn({ subject, bytes, streamSequence, receivedAtMs }: Delivery): Intake {
  const requeue = parseRequeueSubject(subject)
  if (requeue) return takeInRequest({ ...requeue, streamSequence, receivedAtMs }, bytes)
  const { site, agent } = parseTelemetrySubject(subject) ?? { site: 'unknown', agent: 'unknown' }
  const taken = { site, agent, streamSequence, receivedAtMs }
  if (isTickSubject(subject)) return { ...taken, batch: undefined, asked: 'tick' }
  if (isOperatorSubject(subject)) {
    const asked = parseControlMessage(operatorRequest, bytes)
    if (asked) return { ...taken, batch: undefined, asked }
    const detail = 'this is no request of an operator; `tributary alert` and `tributary anomaly` send them'
    return { ...taken, batch: undefined, reason: 'bad_request', detail, bytes, header: undefined }
  }
  try {
    const batch = decodeBatch(bytes)
    if (batch.header.agent === agent) return { ...taken, batch }
    const detail = `the batch says that it is of agent "${batch.header.agent}", but came as one of "${agent}"`
    return { ...taken, batch: undefined, reason: 'wrong_agent', detail, bytes, header: undefined }
  } catch (error) {
    const reason = error instanceof DecodeError ? error.reason : 'malformed'
    const header = headerOf(bytes)
    return {
      ...taken,
      batch: undefined,
      reason,
      detail: messageOf(error),
      bytes,
      header: header?.agent === agent ? header : undefined,
    }
  }
}

/** A message on which the step failed is refused as a whole. */
export const takenAsFailed = (
  { site, agent, streamSequence, receivedAtMs, batch }: Intake,
  bytes: Uint8Array,
  detail: string,
): TakenRefusal => ({
  site,
  agent,
  streamSequence,
  receivedAtMs,
  batch: undefined,
  reason: 'processing_failed',
  detail,
  bytes,
  header: batch?.header,
})

function takeInRequest({ site, agent, streamSequence, receivedAtMs }: Taken, bytes: Uint8Array): Intake {
  const taken = { site, agent, streamSequence, receivedAtMs, batch: undefined }
  const request = parseControlMessage(requeueRequest, bytes)
  const { letter } = request ?? {}
  if (letter?.site === site && letter.agent === agent) return { ...taken, request: request as RequeueRequest }
  const detail = letter
    ? `a request for a letter of ${letter.site}/${letter.agent} came as one of ${site}/${agent}`
    : 'this is no request to requeue or drop a dead letter; `tributary dlq requeue` sends them'
  return { ...taken, reason: 'bad_request', detail, bytes, header: undefined }
}

function headerOf(bytes: Uint8Array): BatchHeader | undefined {
  try {
    return decodeHeader(bytes)
  } catch {
    return undefined
  }
}
