/** The edge and the gateway against their budgets: card, wire, memory, CPU. The outage (`--minutes N`) only when named, or with `--full`. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { agentAlone } from './edge/agent-alone.ts'
import { card } from './edge/card.ts'
import { gatewayLoad } from './edge/gateway-load.ts'
import { wire } from './edge/wire.ts'
import type { Report } from './report.ts'

export async function run(report: Report): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tributary-bench-edge-'))
  try {
    await card(folder, report)
    await wire(folder, report)
    await gatewayLoad(join(folder, 'gateway'), report)
    await agentAlone(join(folder, 'agent'), report)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
