/** Where the samples of a block were measured: each belongs to the site at which its device stood then. */
import type { BatchScope } from './batch-scope.ts'
import type { Placement } from './device-record.ts'
import { placementAt } from './device-record.ts'
import { siteAt } from './enrich.ts'

export interface Placed<Block> {
  readonly block: Block
  readonly site: string
  /** What the registry says of the device for the time at which the stream received the batch. */
  readonly now: Placement | undefined
  /** The site at which it stands then. What was measured elsewhere is history. */
  readonly siteNow: string
}

/** @param pick the block with these samples alone. @returns the block itself when all of it was measured at one site */
export function placeBlock<Block extends { readonly device: string; readonly timesMs: Float64Array }>(
  s: BatchScope,
  block: Block,
  pick: (block: Block, samples: readonly number[]) => Block,
): Placed<Block>[] {
  const record = s.findDevice(block.device)
  const now = placementAt(record, s.receivedAtMs)
  const siteNow = now?.site ?? s.site
  const { timesMs } = block
  let isOne = true
  const first = record === undefined ? s.site : siteAt(record, timesMs[0] as number, s.site)
  if (record !== undefined)
    for (let i = 1; i < timesMs.length && isOne; i++) isOne = siteAt(record, timesMs[i] as number, s.site) === first
  if (isOne) return [{ block, site: first, now, siteNow }]
  const samples = new Map<string, number[]>()
  for (let i = 0; i < timesMs.length; i++) {
    const site = siteAt(record, timesMs[i] as number, s.site)
    const there = samples.get(site)
    if (there === undefined) samples.set(site, [i])
    else there.push(i)
  }
  return [...samples].map(([site, there]) => ({ block: pick(block, there), site, now, siteNow }))
}
