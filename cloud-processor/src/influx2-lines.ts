/**
 * What InfluxDB 2.x makes of the lines of a write, in memory, for tests. The answers are those that influxd 2.7.12 gave, byte for byte
 * but for names, values and times; `influx2.conformance.ts` runs against it and, where there is one, against the real server.
 */
import type { Bucket, WireAnswer } from './influx2-harness.ts'

const LINE = /^(\w+)(?:,[^ ]+)? (\w+)=(-?[\d.]+|"[^"]*") (\d+)$/
const STRING_BYTES_MAX = 1_048_576

export class Influx2Lines {
  /** bucket → series and time → value */
  readonly points = new Map<string, Map<string, string>>()
  private readonly types = new Map<string, string>()

  write(bucket: Bucket, body: string, nowMs: number): WireAnswer {
    const texts = body.split('\n').filter((text) => text !== '')
    const lines = texts.map((text) => LINE.exec(text))
    const bad = texts.filter((_, i) => lines[i] === null)
    if (bad.length > 0)
      return refusal(400, 'invalid', bad.map((text) => `unable to parse '${text}': invalid field format`).join('\n'))
    const points = this.points.get(bucket.id) ?? new Map<string, string>()
    this.points.set(bucket.id, points)
    const oldestMs = nowMs - (bucket.retentionRules[0]?.everySeconds || Number.POSITIVE_INFINITY) * 1_000
    const reasons: string[] = []
    let old = 0
    for (const [text, measurement = '', field = '', value = '', timeMs = ''] of lines as RegExpExecArray[]) {
      const reason = this.complaint(bucket, measurement, field, value)
      if (Number(timeMs) < oldestMs) old += 1
      else if (reason !== undefined) reasons.push(reason)
      else points.set(text.slice(0, text.indexOf(' ')) + timeMs, value)
    }
    const [reason] = reasons
    if (reason !== undefined) return partial(`${reason} dropped=${reasons.length}`)
    if (old === 0) return { status: 204 }
    const bound = 'dropped because it violates a Retention Policy Lower Bound at 2026-11-21T18:10:03.737543561Z'
    return partial(
      `dropped ${old} points outside retention policy of duration 1h0m0s - oldest point m ${bound}, newest point m ${bound} dropped=${old} for database: ${bucket.id} for retention policy: autogen`,
    )
  }

  private complaint(bucket: Bucket, measurement: string, field: string, value: string): string | undefined {
    if (value.length - 2 > STRING_BYTES_MAX)
      return `input field "${field}" on measurement "${measurement}" is too long, ${value.length - 2} > ${STRING_BYTES_MAX}`
    const key = `${bucket.id} ${measurement} ${field}`
    const type = value.startsWith('"') ? 'string' : 'float'
    const before = this.types.get(key) ?? type
    this.types.set(key, before)
    return before === type
      ? undefined
      : `field type conflict: input field "${field}" on measurement "${measurement}" is type ${type}, already exists as type ${before}`
  }
}

const refusal = (status: number, code: string, message: string): WireAnswer => ({
  status,
  body: JSON.stringify({ code, message }),
})
const partial = (reason: string): WireAnswer =>
  refusal(422, 'unprocessable entity', `failure writing points to database: partial write: ${reason}`)
