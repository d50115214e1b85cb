/** What a checkpoint of version 1 said of an agent, as version 2 says it. */
import { OTHER_REASON } from './losses.ts'
import type { SavedAgent, SavedEpoch, SavedRun } from './state-codec.ts'

interface RunOfVersion1
  extends Omit<SavedRun, 'looseBefore' | 'looseThrough' | 'deadLettered' | 'shed' | 'givenUp' | 'holePatienceMs'> {
  looseBefore: boolean
  looseThrough: boolean
}
interface EpochOfVersion1
  extends Omit<SavedEpoch, 'sequences' | 'newestLive' | 'newestMs' | 'doubtSinceMs' | 'recovered'> {
  sequences: {
    runs: RunOfVersion1[]
    shed: number
    duplicates: number
    givenUpReadings: number
    givenUpBatches: number
  }
}
export interface AgentOfVersion1
  extends Omit<
    SavedAgent,
    | 'epochs'
    | 'foldedLosses'
    | 'backlogSaidAtMs'
    | 'waitingSinceMs'
    | 'waitedMs'
    | 'distrustedThroughMs'
    | 'distrustedFromMs'
  > {
  epochs: EpochOfVersion1[]
}

export const agentOfVersion1 = (agent: AgentOfVersion1): SavedAgent => ({
  ...agent,
  backlogBatches: 0,
  epochs: agent.epochs.map(epochOfVersion1),
  foldedLosses: agent.folded.shed > 0 ? [[OTHER_REASON, { readings: agent.folded.shed, batches: 0 }]] : [],
  backlogSaidAtMs: null,
  waitingSinceMs: null,
  waitedMs: 0,
  distrustedThroughMs: null,
  distrustedFromMs: null,
})

/** What was refused, shed or given up is only known of the whole epoch: it is laid to its first run. */
function epochOfVersion1(epoch: EpochOfVersion1): SavedEpoch {
  const { runs, shed, duplicates, givenUpReadings, givenUpBatches } = epoch.sequences
  return {
    ...epoch,
    newestLive: 0,
    // Clocks that are ahead aside.
    newestMs: epoch.lastReceivedAtMs,
    doubtSinceMs: null,
    recovered: 0,
    sequences: {
      runs: runs.map(({ looseBefore, looseThrough, ...run }, i) => ({
        ...run,
        looseBefore: looseBefore ? OTHER_REASON : '',
        looseThrough: looseThrough ? OTHER_REASON : '',
        deadLettered: i === 0 ? (epoch.deadLettered ?? 0) : 0,
        shed: i === 0 ? shed : 0,
        givenUp: i === 0 ? givenUpReadings : 0,
        holePatienceMs: run.holeSeenAtMs,
      })),
      losses: shed === 0 ? [] : [[OTHER_REASON, { readings: shed, batches: 0, ranges: [], unnamedBatches: 0 }]],
      duplicates,
      givenUpBatches,
    },
  }
}
