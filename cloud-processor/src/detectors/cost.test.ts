import { readContracts } from '@tributary/protocol'
import { expect, test } from 'vitest'
import { detectorsFor, seriesContext } from './index.ts'
import { normal, seededRandom } from './simulated-series.ts'

const READINGS = 400_000
/** The aim is 100, of processor time; the limit leaves room for a slow machine. */
const NANOSECONDS_MAX = 400

test('all detectors of a field cost little a reading', async () => {
  const contracts = await readContracts(new URL('../../../contracts', import.meta.url).pathname)
  const contract = contracts.get('vibration')
  if (contract === undefined) throw new Error('there is no contract for vibration')
  const detectors = detectorsFor(
    contract,
    'velocity_rms_mm_s',
    seriesContext(contract, 'plant', 'pump-1', 'velocity_rms_mm_s'),
  )
  expect(detectors.map((d) => d.name)).toEqual(['threshold_above_4.5', 'threshold_above_7.1', 'outlier', 'flatline'])
  const random = seededRandom(1)
  const values = Float64Array.from({ length: READINGS }, () => 2 + 0.1 * normal(random))
  const rounds = Array.from({ length: 5 }, () => {
    // States as a checkpoint gives them back.
    const states = detectors.map((d) => JSON.parse(JSON.stringify(d.start())))
    const before = process.cpuUsage()
    for (let i = 0; i < READINGS; i++)
      for (let d = 0; d < detectors.length; d++) detectors[d]?.observe(states[d], i * 100, values[i] ?? 0)
    return (process.cpuUsage(before).user * 1e3) / READINGS
  })
  const best = Math.min(...rounds)
  console.log(
    `threshold ×2, outlier and flatline together: ${best.toFixed(0)} ns a reading (aim: under 100; rounds: ${rounds.map((ns) => ns.toFixed(0)).join(', ')})`,
  )
  expect(best).toBeLessThan(NANOSECONDS_MAX)
})
