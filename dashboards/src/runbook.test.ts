import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { docsFolder } from './docs-pages.ts'
import { dashboards } from './provisioning.ts'
import { anchorOf, RUNBOOK_ADDRESS, RUNBOOK_SECTIONS } from './runbook.ts'
import { exampleContracts } from './testing.ts'

const headings = async (): Promise<string[]> =>
  [...(await readFile(join(docsFolder, 'runbook.md'), 'utf8')).matchAll(/^## (.+)$/gm)].map(
    ([, heading = '']) => heading,
  )

it('names sections that the runbook has', async () => {
  const there = await headings()
  expect(Object.values(RUNBOOK_SECTIONS).filter((section) => !there.includes(section))).toEqual([])
})

it('is where every panel with a limit of a contract leads, to a heading that is there', async () => {
  const anchors = (await headings()).map(anchorOf)
  const panels = dashboards(await exampleContracts())
    .filter(({ uid }) => ['tributary-fleet', 'tributary-account', 'tributary-pipeline'].includes(uid ?? ''))
    .flatMap(({ panels: all }) => all ?? [])
    .filter((panel) => panel.type !== 'row') as {
    title: string
    links?: { url: string }[]
    fieldConfig?: { defaults: { thresholds?: { steps: { color: string }[] } } }
  }[]
  const isLimited = ({ fieldConfig }: (typeof panels)[number]) =>
    fieldConfig?.defaults.thresholds?.steps.some(({ color }) => ['red', 'orange'].includes(color))
  const linked = panels.filter(({ links }) => links?.some(({ url }) => url.startsWith(RUNBOOK_ADDRESS)))
  expect(panels.filter((panel) => isLimited(panel) && !linked.includes(panel)).map(({ title }) => title)).toEqual([])
  expect(linked.length).toBeGreaterThan(20)
  const urls = linked.flatMap(({ links = [] }) => links.map(({ url }) => url))
  expect(urls.filter((url) => !anchors.includes(url.split('#')[1] ?? ''))).toEqual([])
})
