/** The files of the Numenta Anomaly Benchmark in memory: series, labelled windows, cost profiles. */
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { UserError } from '@tributary/runtime'

export interface LabelledWindow {
  /** Rows, both inclusive. */
  readonly from: number
  readonly to: number
}

export interface NabFile {
  /** `realTraffic/speed_6005.csv` */
  readonly name: string
  readonly group: string
  readonly timestamps: readonly string[]
  readonly timesMs: Float64Array
  readonly values: Float64Array
  /** In order of time, never overlapping. */
  readonly windows: readonly LabelledWindow[]
}

export interface Profile {
  readonly name: string
  readonly truePositive: number
  readonly falsePositive: number
  readonly falseNegative: number
}

export interface Corpus {
  readonly folder: string
  readonly files: readonly NabFile[]
  readonly profiles: readonly Profile[]
}

const WHAT = 'the folder of the benchmark has data/, labels/combined_windows.json, config/profiles.json and published/'
const notNab = (said: string, cause?: unknown) => new UserError(said, { hint: WHAT, cause })

/** @throws UserError when the folder is missing or is not the benchmark */
export async function readCorpus(folder: string): Promise<Corpus> {
  const labels = await readJson<Record<string, [string, string][]>>(folder, 'labels/combined_windows.json')
  const costs = await readJson<Record<string, { CostMatrix: Record<string, number> }>>(folder, 'config/profiles.json')
  const names = Object.keys(labels).sort()
  if (names.length === 0) throw notNab(`${folder} has no labelled file`)
  const profiles = Object.entries(costs).map(([name, { CostMatrix }]): Profile => {
    const cost = (key: string) => {
      const value = CostMatrix?.[key]
      if (typeof value !== 'number') throw notNab(`config/profiles.json: ${name} has no ${key}`)
      return value
    }
    return {
      name,
      truePositive: cost('tpWeight'),
      falsePositive: cost('fpWeight'),
      falseNegative: cost('fnWeight'),
    }
  })
  const files: NabFile[] = []
  for (const name of names) files.push(await readSeries(folder, name, labels[name] ?? []))
  return { folder, files, profiles }
}

async function readSeries(folder: string, name: string, labels: readonly [string, string][]): Promise<NabFile> {
  const timestamps: string[] = []
  const values: number[] = []
  const [head, ...lines] = (await readText(folder, join('data', name))).trimEnd().split(/\r?\n/)
  if (head !== 'timestamp,value') throw notNab(`data/${name} does not begin with "timestamp,value"`)
  for (const [i, line] of lines.entries()) {
    const [timestamp = '', value = ''] = line.split(',')
    if (value.trim() === '' || !Number.isFinite(Number(value)) || Number.isNaN(timeOf(timestamp)))
      throw notNab(`data/${name}, line ${i + 2} is no time and number: ${line.slice(0, 80)}`)
    timestamps.push(timestamp)
    values.push(Number(value))
  }
  const rowOf = (label: string): number => {
    const row = timestamps.indexOf(label.slice(0, 19))
    if (row < 0) throw notNab(`${name} has no row at ${label}, which its labels name`)
    return row
  }
  return {
    name,
    group: dirname(name),
    timestamps,
    timesMs: Float64Array.from(timestamps, timeOf),
    values: Float64Array.from(values),
    windows: labels.map(([from, to]) => ({ from: rowOf(from), to: rowOf(to) })),
  }
}

/** Times without a zone, which is never said: taken as UTC. */
const timeOf = (timestamp: string): number => Date.parse(`${timestamp.replace(' ', 'T')}Z`)

async function readText(folder: string, path: string): Promise<string> {
  try {
    return await readFile(join(folder, path), 'utf8')
  } catch (cause) {
    const there = await readdir(folder).catch(() => undefined)
    throw notNab(there === undefined ? `there is no folder ${folder}` : `${folder} has no ${path}`, cause)
  }
}

async function readJson<Shape>(folder: string, path: string): Promise<Shape> {
  const text = await readText(folder, path)
  try {
    return JSON.parse(text) as Shape
  } catch (cause) {
    throw notNab(`${join(folder, path)} is no JSON`, cause)
  }
}
