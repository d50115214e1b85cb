/** A real influxd in a temporary folder, empty or with a day of example data. For tests only. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Contracts, readContracts } from '@tributary/protocol'
import { createInfluxServer, findServer, freePort } from '@tributary/stack'
import { exampleLines } from './example-lines.ts'
import type { InfluxAnswer } from './rendering/frames.ts'

const LINES_PER_REQUEST = 1_000

export const exampleContracts = (): Promise<Contracts> =>
  readContracts(fileURLToPath(new URL('../../contracts/', import.meta.url)))

export interface EmptyInflux {
  readonly url: string
  /** @throws with what influxd said */
  query(text: string, database?: string): Promise<InfluxAnswer>
  /** Lines with times in milliseconds. */
  write(database: string, lines: readonly string[], retentionPolicy?: string): Promise<void>
  stop(): Promise<void>
}
export interface ExampleInflux {
  readonly url: string
  readonly nowMs: number
  stop(): Promise<void>
}

export async function startEmptyInflux(): Promise<EmptyInflux> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-dashboards-'))
  const server = await createInfluxServer(await findServer('influxd'), folder, {
    http: await freePort(),
    rpc: await freePort(),
  })
  await server.start()
  const { url } = server
  const post = async (path: string, body: string | URLSearchParams): Promise<string> => {
    const response = await fetch(`${url}${path}`, { method: 'POST', body })
    const text = await response.text()
    if (!response.ok || text.includes('"error"')) throw new Error(`influxd refused the example data: ${text}`)
    return text
  }
  return {
    url,
    query: async (text, database = '') =>
      JSON.parse(await post(`/query?epoch=ms&db=${database}`, new URLSearchParams({ q: text }))),
    async write(database, lines, retentionPolicy = 'autogen') {
      for (let at = 0; at < lines.length; at += LINES_PER_REQUEST)
        await post(
          `/write?db=${database}&rp=${retentionPolicy}&precision=ms`,
          lines.slice(at, at + LINES_PER_REQUEST).join('\n'),
        )
    },
    async stop() {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** @param nowMs end of the data */
export async function startExampleInflux(nowMs: number): Promise<ExampleInflux> {
  const influx = await startEmptyInflux()
  await influx.query('CREATE DATABASE tributary')
  await influx.query('CREATE RETENTION POLICY rollup ON tributary DURATION INF REPLICATION 1 SHARD DURATION 7d')
  const { raw, rollup } = exampleLines(await exampleContracts(), nowMs)
  await influx.write('tributary', raw)
  await influx.write('tributary', rollup, 'rollup')
  return { url: influx.url, nowMs, stop: influx.stop }
}
