import { describe, expect, it } from 'vitest'
import { PROCESS_STATES, stateColours } from './process-states.ts'
import { distanceSeen } from './rendering/colour-sight.ts'
import { colourOf, type Theme } from './rendering/colours.ts'
import { exampleContracts } from './testing.ts'

describe('states of processes', () => {
  it.each(['dark', 'light'] as const)('can be told apart by everybody in the %s theme', (theme: Theme) => {
    stateColours.forEach((one, i) => {
      for (const other of stateColours.slice(0, i))
        expect(distanceSeen(colourOf(one, theme), colourOf(other, theme)), `${one} and ${other}`).toBeGreaterThan(0.08)
    })
  })

  it('are those of the contracts', async () => {
    const contracts = await exampleContracts()
    for (const kind of ['agent_health', 'gateway_health']) {
      const field = contracts.get(kind)?.fields['state']
      const values = field?.type === 'string' ? (field.values ?? []) : []
      expect(values.length, kind).toBeGreaterThan(2)
      expect(values.filter((state) => !(state in PROCESS_STATES))).toEqual([])
    }
  })
})
