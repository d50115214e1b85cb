/** The learned detector of a series as a contract asks for it, in one of its sizes. */
import { type Detector, type DetectorState, detectorsFor, seriesContext } from '@tributary/cloud-processor'
import { contractSchema } from '@tributary/protocol'

export const LEARNED = ['full', 'lite'] as const
export type Learned = (typeof LEARNED)[number]

/** @param decimals changes of a few of the last digits are never anomalies */
export function learnedDetector(size: Learned, intervalMs: number, decimals: number): Detector<DetectorState> {
  const contract = contractSchema.parse({
    kind: 'bench',
    version: 1,
    description: 'One number.',
    interval: `${intervalMs}ms`,
    fields: { level: { type: 'float', label: 'Level', decimals } },
    detectors: { outlier: size === 'lite' ? ['level'] : { level: size } },
  })
  const [detector] = detectorsFor(contract, 'level', seriesContext(contract, '', '', 'level'))
  if (detector === undefined) throw new Error(`there is no detector ${size}`)
  return detector
}
