/** Grafana's colour names in two themes, and the palette that series take their colours from. */

export type Theme = 'dark' | 'light'

const COLOURS: Readonly<Record<string, readonly [dark: string, light: string]>> = {
  green: ['#6fbf8b', '#2f8f5b'],
  yellow: ['#e3c35f', '#a67c00'],
  orange: ['#f0a35e', '#c8650c'],
  red: ['#f2706b', '#cf3a3f'],
  blue: ['#6ea8fe', '#2f6fdb'],
  purple: ['#b794f6', '#7c4fd0'],
  'dark-red': ['#c4162a', '#c4162a'],
  'dark-orange': ['#fa6400', '#e05a00'],
  'dark-yellow': ['#e0b400', '#b38f00'],
  'dark-green': ['#37872d', '#37872d'],
  'dark-blue': ['#1f60c4', '#1f60c4'],
  'dark-purple': ['#8f3bb8', '#8f3bb8'],
  'super-light-yellow': ['#fff899', '#fff899'],
  'super-light-blue': ['#9fd3ff', '#5a9bd8'],
  gray: ['#7d8590', '#8a919c'],
  text: ['#e4e7ec', '#1c2430'],
  'panel-bg': ['#161a21', '#ffffff'],
  transparent: ['transparent', 'transparent'],
}
export const isKnownColour = (name: string): boolean => Object.hasOwn(COLOURS, name) || /^#[0-9a-f]{6}$/i.test(name)

export function colourOf(name: string, theme: Theme): string {
  return COLOURS[name]?.[theme === 'dark' ? 0 : 1] ?? name
}

/** In this order neighbours, and the first five, are told apart by the colour-blind as well (`colours.test.ts`). */
const PALETTE: readonly (readonly [dark: string, light: string])[] = [
  ['#6ea8fe', '#2f6fdb'],
  ['#f8b238', '#d38111'],
  ['#8ad3a1', '#287431'],
  ['#cd86ac', '#c7487e'],
  ['#8b75ed', '#7c40a1'],
  ['#5fd2d8', '#0592a3'],
  ['#cbc270', '#9b7908'],
  ['#e37e7f', '#b23e63'],
  ['#97afd1', '#5d6f9f'],
  ['#b0e375', '#75a04f'],
]
export const PALETTE_SIZE = PALETTE.length
export const paletteColour = (index: number, theme: Theme): string =>
  (PALETTE[index % PALETTE.length] as readonly [string, string])[theme === 'dark' ? 0 : 1]

/** A hexadecimal colour with an opacity from 0 to 1. */
export function faded(colour: string, opacity: number): string {
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(colour)
  if (!match) return colour
  const [red, green, blue] = match.slice(1).map((part) => Number.parseInt(part, 16))
  return `rgba(${red}, ${green}, ${blue}, ${opacity})`
}
