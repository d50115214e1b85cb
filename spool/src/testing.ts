/** What tests of spools and of their owners need besides a faulty disk. */
import type { Processes } from './lock.ts'

/** Processes of a machine whose power can go: those of an earlier boot are gone. */
export const simulatedProcesses = (boot: () => number): Processes => ({
  own: async () => ({ pid: 1, startedAt: String(boot()) }),
  isAlive: async ({ startedAt }) => startedAt === String(boot()),
})
