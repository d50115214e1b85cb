/** A real influxd with a day of example data in a temporary folder. For tests only. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Contracts, readContracts } from '@tributary/protocol'
import { createInfluxServer, findServer, freePort } from '@tributary/stack'
import { exampleLines } from './example-lines.ts'

const LINES_PER_REQUEST = 1_000

export const exampleContracts = (): Promise<Contracts> =>
  readContracts(fileURLToPath(new URL('../../contracts/', import.meta.url)))

export interface ExampleInflux {
  readonly url: string
  readonly nowMs: number
  stop(): Promise<void>
}

/** @param nowMs end of the data */
export async function startExampleInflux(nowMs: number): Promise<ExampleInflux> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-dashboards-'))
  const server = await createInfluxServer(await findServer('influxd'), folder, {
    http: await freePort(),
    rpc: await freePort(),
  })
  await server.start()
  const { url } = server
  const post = async (path: string, body: string | URLSearchParams) => {
    const response = await fetch(`${url}${path}`, { method: 'POST', body })
    const text = await response.text()
    if (!response.ok || text.includes('"error"')) throw new Error(`influxd refused the example data: ${text}`)
  }
  await post('/query', new URLSearchParams({ q: 'CREATE DATABASE tributary' }))
  const policy = 'CREATE RETENTION POLICY rollup ON tributary DURATION INF REPLICATION 1 SHARD DURATION 7d'
  await post('/query', new URLSearchParams({ q: policy }))
  const { raw, rollup } = exampleLines(await exampleContracts(), nowMs)
  for (const [lines, retentionPolicy] of [
    [raw, 'autogen'],
    [rollup, 'rollup'],
  ] as const)
    for (let at = 0; at < lines.length; at += LINES_PER_REQUEST)
      await post(
        `/write?db=tributary&rp=${retentionPolicy}&precision=ms`,
        lines.slice(at, at + LINES_PER_REQUEST).join('\n'),
      )
  return {
    url,
    nowMs,
    async stop() {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
