import { describe, expect, it } from 'vitest'
import { contrast, distanceSeen } from './colour-sight.ts'
import { colourOf, PALETTE_SIZE, paletteColour, type Theme } from './colours.ts'

describe.each(['dark', 'light'] as const)('the palette of series, %s', (theme: Theme) => {
  const colours = Array.from({ length: PALETTE_SIZE }, (_, i) => paletteColour(i, theme))
  const pairs = colours.flatMap((one, i) => colours.slice(0, i).map((other, j) => ({ one, other, i, j })))
  const tooNear = (least: number, among: typeof pairs) =>
    among.filter(({ one, other }) => distanceSeen(one, other) < least).map(({ one, other }) => `${other} and ${one}`)

  it('has ten colours', () => expect(new Set(colours).size).toBe(10))

  it('tells neighbours apart for everybody, the last and the first too', () => {
    const neighbours = pairs.filter(({ i, j }) => i - j === 1 || i - j === PALETTE_SIZE - 1)
    expect(neighbours.length).toBe(10)
    expect(tooNear(0.1, neighbours)).toEqual([])
  })

  it('tells the first five apart, as many as most charts have', () => {
    expect(
      tooNear(
        0.09,
        pairs.filter(({ i }) => i < 5),
      ),
    ).toEqual([])
  })

  it('tells any two of it apart', () => expect(tooNear(0.05, pairs)).toEqual([]))

  it('stands out from the panel', () => {
    for (const colour of colours) expect(contrast(colour, colourOf('panel-bg', theme)), colour).toBeGreaterThan(3)
  })
})

it('the measure: black and white are far apart, red and green are near to who does not see red', () => {
  expect(distanceSeen('#000000', '#ffffff')).toBeCloseTo(1, 2)
  expect(contrast('#000000', '#ffffff')).toBeCloseTo(21, 5)
  expect(distanceSeen('#a97f00', '#7d8f00')).toBeLessThan(0.05)
})
