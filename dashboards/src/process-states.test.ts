import { describe, expect, it } from 'vitest'
import { PROCESS_STATES, stateColours } from './process-states.ts'
import { colourOf, type Theme } from './rendering/colours.ts'
import { exampleContracts } from './testing.ts'

/** Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as the colour-blind see it. */
const SIGHT = {
  normal: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
} as const

const linear = (hex: string): number[] =>
  [1, 3, 5].map((at) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  })
const times = (rows: readonly (readonly number[])[], vector: readonly number[]): number[] =>
  rows.map((row) => row.reduce((sum, factor, i) => sum + factor * (vector[i] as number), 0))

/** OKLab, in which distances are as far as they look. */
function lab(rgb: readonly number[]): number[] {
  const cones = times(
    [
      [0.4122214708, 0.5363325363, 0.0514459929],
      [0.2119034982, 0.6806995451, 0.1073969566],
      [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    rgb.map((value) => Math.min(1, Math.max(0, value))),
  ).map(Math.cbrt)
  return times(
    [
      [0.2104542553, 0.793617785, -0.0040720468],
      [1.9779984951, -2.428592205, 0.4505937099],
      [0.0259040371, 0.7827717662, -0.808675766],
    ],
    cones,
  )
}
const distance = (a: readonly number[], b: readonly number[]) => Math.hypot(...a.map((x, i) => x - (b[i] as number)))

describe('states of processes', () => {
  it.each(['dark', 'light'] as const)('can be told apart by everybody in the %s theme', (theme: Theme) => {
    for (const [sight, matrix] of Object.entries(SIGHT)) {
      const seen = stateColours.map((name) => lab(times(matrix, linear(colourOf(name, theme)))))
      seen.forEach((one, i) => {
        for (const [j, other] of seen.slice(0, i).entries())
          expect(distance(one, other), `${sight}: ${stateColours[i]} and ${stateColours[j]}`).toBeGreaterThan(0.08)
      })
    }
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
