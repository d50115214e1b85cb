/** docs/metrics.md names every metric that a process exposes, with its type and labels, and none that it does not. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repositoryFolder } from '@tributary/stack'
import { expect, test } from 'vitest'
import { until } from './harness/run-tributary.ts'
import { withPipeline } from './harness/with-pipeline.ts'

interface Metric {
  readonly type: string
  readonly labels: readonly string[]
}
type Metrics = ReadonlyMap<string, Metric>

/** Tables under the headings of the processes; a heading may name several. */
function metricsOnPage(process: string): Metrics {
  const page = readFileSync(join(repositoryFolder, 'docs', 'metrics.md'), 'utf8')
  const sections = page.split(/^## /m).filter((section) => section.split('\n')[0]?.toLowerCase().includes(process))
  const rows = sections.flatMap((section) => [
    ...section.matchAll(/^\| `(tributary_\w+)` \| (\w+) \|([^|]*)\| [^|]{10,} \|$/gm),
  ])
  return new Map(
    rows.map(([, name = '', type = '', labels = '']) => [name, { type, labels: labels.match(/\w+/g)?.sort() ?? [] }]),
  )
}

/** From the text of `/metrics`. Without a sample yet there is nothing that tells the labels: undefined. */
function metricsExposed(text: string): ReadonlyMap<string, { type: string; labels: string[] | undefined }> {
  return new Map(
    [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name = '', type = '']) => {
      const sample = new RegExp(`^${name}(?:_sum)?(?:\\{([^}]*)\\})? `, 'm').exec(text)
      const labels = [...(sample?.[1] ?? '').matchAll(/(\w+)="/g)].map(([, label]) => label as string)
      return [name, { type, labels: sample ? labels.filter((label) => label !== 'process').sort() : undefined }]
    }),
  )
}

test('the page and the processes agree', { timeout: 120_000 }, () =>
  withPipeline({ ratePerSecond: 500, seed: 8, siteView: true }, async (pipeline) => {
    const { agents, gateway, processor, simulator } = pipeline.urls
    const processes = { agent: agents[0] as string, gateway, processor, simulator }
    const read = async (url: string) => metricsExposed(await (await fetch(`${url}/metrics`)).text())
    await until(
      async () => (await read(gateway)).get('tributary_gateway_batches_total')?.labels !== undefined,
      'the gateway takes batches',
    )
    for (const [process, url] of Object.entries(processes)) {
      const exposed = await read(url)
      const onPage = metricsOnPage(process)
      expect([...exposed.keys()].sort(), `docs/metrics.md, ${process}`).toEqual([...onPage.keys()].sort())
      for (const [name, { type, labels }] of exposed) {
        expect(onPage.get(name)?.type, `${process} ${name}`).toBe(type)
        if (labels) expect(onPage.get(name)?.labels, `${process} ${name}`).toEqual(labels)
      }
    }
  }),
)
