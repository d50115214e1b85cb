/** A day of readings, one a second, of ten fields, with their windows: as the processor writes them, each value known beforehand. */
import { UserError } from '@tributary/runtime'

export const SITE = 'bench'
export const DAY_MS = 86_400_000
const EVERY_MS = 1_000
const LINES_PER_REQUEST = 5_000

/** It measures all kinds: a dashboard shows one device. */
const DEVICE = 'station-1'
/** Kind → its device and its fields, which are ten in all. */
export const KINDS: Readonly<Record<string, { readonly device: string; readonly fields: readonly string[] }>> = {
  climate: { device: DEVICE, fields: ['temperature_c', 'humidity_percent', 'pressure_hpa'] },
  vibration: { device: DEVICE, fields: ['velocity_rms_mm_s', 'acceleration_peak_g', 'temperature_c', 'speed_rpm'] },
  power: { device: DEVICE, fields: ['voltage_v', 'current_a', 'power_w'] },
}
export const FIELDS = Object.entries(KINDS).flatMap(([kind, { device, fields }]) =>
  fields.map((field, i) => ({ kind, device, field, phase: kind.length + i })),
)

/** Two swings of a day and some noise, the same for the same time. */
export function valueAt(phase: number, timeMs: number): number {
  const second = Math.floor(timeMs / 1000)
  const noise = (Math.imul(second ^ (phase << 20), 0x9e3779b1) >>> 0) / 2 ** 32
  return 50 + 20 * Math.sin((second / 43_200) * 2 * Math.PI + phase) + noise
}

export function meanOf(phase: number, fromMs: number, toMs: number): number {
  let sum = 0
  let count = 0
  for (let at = Math.ceil(fromMs / EVERY_MS) * EVERY_MS; at < toMs; at += EVERY_MS) {
    sum += valueAt(phase, at)
    count++
  }
  return sum / count
}

/** Writes the day that ends at `endMs`. @returns readings written, windows aside */
export async function writeDay(url: string, endMs: number, progress: (text: string) => void): Promise<number> {
  const post = async (path: string, body: string | URLSearchParams) => {
    const response = await fetch(`${url}${path}`, { method: 'POST', body })
    const text = await response.text()
    if (!response.ok || text.includes('"error"'))
      throw new UserError(`influxd refused the data of the benchmark: ${text}`)
  }
  await post('/query', new URLSearchParams({ q: 'CREATE DATABASE tributary' }))
  const policy = 'CREATE RETENTION POLICY rollup ON tributary DURATION INF REPLICATION 1 SHARD DURATION 7d'
  await post('/query', new URLSearchParams({ q: policy }))
  for (const [kind, { device, fields }] of Object.entries(KINDS)) {
    const phases = fields.map((field) => FIELDS.find((f) => f.kind === kind && f.field === field)?.phase ?? 0)
    const write = async (name: string, retention: string, everyMs: number, line: (startMs: number) => string) => {
      let lines: string[] = []
      const flush = async () => {
        await post(`/write?db=tributary&rp=${retention}&precision=ms`, lines.join('\n'))
        lines = []
      }
      for (let at = endMs - DAY_MS; at < endMs; at += everyMs) {
        lines.push(`${name},site=${SITE},device=${device} ${line(at)} ${at}`)
        if (lines.length === LINES_PER_REQUEST) await flush()
      }
      if (lines.length > 0) await flush()
      progress(`${name} is written`)
    }
    await write(kind, 'autogen', EVERY_MS, (at) =>
      fields.map((f, i) => `${f}=${valueAt(phases[i] as number, at)}`).join(','),
    )
    for (const [width, widthMs] of [
      ['10s', 10_000],
      ['1m', 60_000],
    ] as const)
      await write(`${kind}_${width}`, 'rollup', widthMs, (at) =>
        fields.map((field, i) => windowFields(field, phases[i] as number, at, widthMs)).join(','),
      )
  }
  return (DAY_MS / EVERY_MS) * FIELDS.length
}

function windowFields(field: string, phase: number, fromMs: number, widthMs: number): string {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (let at = fromMs; at < fromMs + widthMs; at += EVERY_MS) {
    const value = valueAt(phase, at)
    min = Math.min(min, value)
    max = Math.max(max, value)
  }
  const mean = meanOf(phase, fromMs, fromMs + widthMs)
  return `${field}_mean=${mean},${field}_min=${min},${field}_max=${max},${field}_last=${valueAt(phase, fromMs + widthMs - EVERY_MS)},${field}_count=${widthMs / EVERY_MS}i`
}
