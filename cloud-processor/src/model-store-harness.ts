/** InfluxDB as far as windows need it, in memory: lines go in as upserts of single fields, the statements of the repair are answered. */
import type { InfluxQuery, InfluxSeries } from './influx-query.ts'

export type ModelValue = number | string | boolean

export interface ModelStore {
  /** Measurement with tags, as it stands in a line → time → fields. */
  readonly series: ReadonlyMap<string, ReadonlyMap<number, ReadonlyMap<string, ModelValue>>>
  write(line: string): void
  /** What its owner does when it is asked, and statements that were asked. */
  readonly query: InfluxQuery
  readonly statements: string[]
}

export function createModelStore(onQuery: () => void | Promise<void> = () => undefined): ModelStore {
  const series = new Map<string, Map<number, Map<string, ModelValue>>>()
  const statements: string[] = []

  function write(line: string): void {
    const keyEnd = line.indexOf(' ')
    const timeAt = line.lastIndexOf(' ')
    const key = line.slice(0, keyEnd)
    const points = series.get(key) ?? new Map<number, Map<string, ModelValue>>()
    series.set(key, points)
    const timeMs = Number(line.slice(timeAt))
    const point = points.get(timeMs) ?? new Map<string, ModelValue>()
    points.set(timeMs, point)
    for (const [, name, text] of line.slice(keyEnd + 1, timeAt).matchAll(/([^=,]+)=("(?:\\.|[^"\\])*"|[^,]+)/g))
      point.set(name as string, fieldValue(text as string))
  }

  function answer(statement: string): InfluxSeries[] {
    statements.push(statement)
    const next =
      /^SELECT (?:LAST|FIRST)\("(.+)"\) AS "\1" FROM (\S+) WHERE time (<|>=) (-?\d+)ms AND \((.+)\) GROUP BY/.exec(
        statement,
      )
    if (next !== null) {
      const [, field = '', measurement = '', side, atMs, devices = ''] = next
      return nextTo(field, namesOf(measurement), side === '<', Number(atMs), devices)
    }
    const parts =
      /^SELECT (.+) FROM (\S+) WHERE time >= (-?\d+)ms AND time < (-?\d+)ms AND \((.+)\) GROUP BY (\S+)(?: LIMIT (\d+))?$/.exec(
        statement,
      )
    if (parts === null) throw new Error(`the model does not know: ${statement}`)
    const [, fields = '', measurement = '', from, to, devices = '', , limit = 'Infinity'] = parts
    const measurements = namesOf(measurement)
    const wanted = new Set(
      [...devices.matchAll(/"site" = '([^']*)' AND "device" = '([^']*)'/g)].map(
        ([, site, device]) => `${site}/${device}`,
      ),
    )
    const answers: InfluxSeries[] = []
    for (const [key, points] of series) {
      const [name = '', ...rest] = key.split(',')
      const tags = Object.fromEntries(rest.map((tag) => tag.split('='))) as Record<string, string>
      if (!measurements.has(name) || !wanted.has(`${tags['site']}/${tags['device']}`)) continue
      const inside = [...points]
        .filter(([timeMs]) => timeMs >= Number(from) && timeMs < Number(to))
        .sort(([a], [b]) => a - b)
      const names =
        fields === '*' ? [...new Set(inside.flatMap(([, p]) => [...p.keys()]))] : fields.slice(1, -1).split('","')
      const values = inside
        .filter(([, point]) => names.some((field) => point.has(field)))
        .slice(0, Number(limit))
        .map(([timeMs, point]) => [timeMs, ...names.map((field) => point.get(field) ?? null)])
      if (values.length > 0) answers.push({ name, tags, columns: ['time', ...names], values })
    }
    return answers
  }

  /** The point with the field that is the next one before that time, or from it on. */
  function nextTo(
    field: string,
    measurements: ReadonlySet<string>,
    isBefore: boolean,
    atMs: number,
    devices: string,
  ): InfluxSeries[] {
    return [...series].flatMap(([key, points]) => {
      const [name = '', ...rest] = key.split(',')
      const tags = Object.fromEntries(rest.map((tag) => tag.split('='))) as Record<string, string>
      if (!measurements.has(name) || !devices.includes(`"site" = '${tags['site']}' AND "device" = '${tags['device']}'`))
        return []
      const [last] = [...points]
        .filter(([timeMs, point]) => timeMs < atMs === isBefore && point.has(field))
        .sort(([a], [b]) => (isBefore ? b - a : a - b))
      if (last === undefined) return []
      return [{ name, tags, columns: ['time', field], values: [[last[0], last[1].get(field)]] }]
    })
  }

  const query = async (text: string): Promise<InfluxSeries[]> => {
    const answers = text.split(';').flatMap(answer)
    await onQuery()
    return answers
  }
  return { series, write, query: Object.assign(query, { close: async () => undefined }), statements }
}

/** @param from what stands behind FROM, its retention policies left away */
const namesOf = (from: string): Set<string> => new Set(from.replaceAll('"rollup".', '').slice(1, -1).split('","'))

function fieldValue(text: string): ModelValue {
  if (text.startsWith('"')) return text.slice(1, -1).replace(/\\(.)/g, '$1')
  return text === 't' || text === 'f' ? text === 't' : Number.parseFloat(text)
}
