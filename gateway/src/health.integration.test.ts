import { fileURLToPath } from 'node:url'
import { type BatchHeader, checkBlock, decodeBatch, readContracts } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { drainStream, startGateway, startNats, temporaryFolder, until } from './testing.ts'

test('the gateway reports itself: batches of its own epoch, without holes, that fit the contract', async () => {
  const contracts = await readContracts(fileURLToPath(new URL('../../contracts', import.meta.url)))
  const contract = contracts.get('gateway_health')
  if (!contract) throw new Error('there is no contract for gateway_health')
  const folder = await temporaryFolder()
  const nats = await startNats(folder.path)
  const gateway = await startGateway({
    folder: folder.path,
    natsUrl: nats.url,
    sections: { health: { interval: '1s' } },
  })
  try {
    await until('three reports were forwarded', () => gateway.status().spool.sentThrough >= 3)
    const batches = (await drainStream(nats.url)).map(({ data }) => decodeBatch(data))
    const headers: BatchHeader[] = batches.map(({ header }) => header)
    expect(headers.map(({ sequence }) => sequence)).toEqual(headers.map((_, i) => i + 1))
    expect(new Set(headers.map(({ agent, epoch }) => `${agent}/${epoch}`)).size).toBe(1)
    let total = 0
    for (const { header, blocks } of batches) {
      total += header.readingCount
      expect(header.readingsTotal).toBe(total)
      expect(blocks.map(({ device, kind }) => ({ device, kind }))).toEqual([{ device: 'gw-1', kind: 'gateway_health' }])
      for (const block of blocks) expect(checkBlock(contract, block, () => undefined)).toEqual([])
    }
    const fields = new Set(
      batches.flatMap(({ blocks }) => blocks.flatMap(({ columns }) => columns.map(({ field }) => field))),
    )
    expect(Object.keys(contract.fields).filter((field) => !fields.has(field))).toEqual([])
    const last = batches.at(-1)?.blocks[0]?.columns ?? []
    expect(last.find(({ field }) => field === 'state')?.values).toEqual(['live'])
    const [p50, p99] = ['p50', 'p99'].map(
      (share) => last.find(({ field }) => field === `forwarded_${share}_ms`)?.values[0] as number,
    ) as [number, number]
    expect(p50).toBeGreaterThan(0)
    expect(p99).toBeGreaterThanOrEqual(p50)
    expect(p99).toBeLessThan(10_000)
  } finally {
    await gateway.end()
    await nats.stop()
    await folder.remove()
  }
})
