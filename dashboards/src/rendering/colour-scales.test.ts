import { describe, expect, it } from 'vitest'
import { continuousColour, schemeColours, textColourOn } from './colour-scales.ts'

/** CIE lightness, 0 to 100. */
function lightness(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(hex.slice(at, at + 2), 16) / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  }) as [number, number, number]
  const y = 0.2126 * r + 0.7152 * g + 0.0722 * b
  return y > 0.008856 ? 116 * Math.cbrt(y) - 16 : 903.3 * y
}

describe('colour schemes', () => {
  const names = ['Blues', 'Oranges', 'Greys', 'YlGnBu', 'YlOrRd', 'Viridis', 'Magma', 'Cividis']
  it.each(names)(
    '%s goes from dark to light in the dark theme and back in the light one, so that lightness alone tells',
    (name) => {
      const dark = schemeColours(name, { theme: 'dark', reverse: false, steps: 24 }).map(lightness)
      dark
        .slice(1)
        .forEach((l, i) => void expect(l, `${name} step ${i + 1}`).toBeGreaterThan((dark[i] as number) - 0.2))
      expect((dark.at(-1) as number) - (dark[0] as number)).toBeGreaterThan(50)
      const light = schemeColours(name, { theme: 'light', reverse: false, steps: 24 }).map(lightness)
      expect(light).toEqual([...dark].reverse())
    },
  )
  it('ends where d3 ends', () => {
    expect(schemeColours('Viridis', { theme: 'dark', reverse: false, steps: 2 })).toEqual(['#440154', '#fde725'])
    expect(schemeColours('Blues', { theme: 'light', reverse: false, steps: 3 })).toEqual([
      '#f7fbff',
      '#6daed5',
      '#08306b',
    ])
    expect(schemeColours('Blues', { theme: 'light', reverse: true, steps: 2 })).toEqual(['#08306b', '#f7fbff'])
    expect(() => schemeColours('Rainbow', { theme: 'dark', reverse: false, steps: 2 })).toThrow(RangeError)
  })
  it('passes through the middle colour', () => {
    expect(continuousColour('continuous-GrYlRd', 0, 'dark')).toBe('#6fbf8b')
    expect(continuousColour('continuous-GrYlRd', 1, 'dark')).toBe('#f2706b')
    expect(continuousColour('continuous-blues', 0, 'light')).toBe('#ffffff')
  })
  it('is written on in black or white', () => {
    expect([textColourOn('#ffffff'), textColourOn('#fff899'), textColourOn('#08306b')]).toEqual([
      '#0c1016',
      '#0c1016',
      '#ffffff',
    ])
    expect(textColourOn('transparent')).toBe('inherit')
  })
})
