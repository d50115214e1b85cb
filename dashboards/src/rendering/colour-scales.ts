/**
 * Colours that stand for numbers: the schemes of Grafana's heat map and its continuous colour modes. Between its anchors a
 * scheme is a B-spline, as in d3-scale-chromatic; of the perceptual ones (Viridis, Magma, Cividis) the anchors are samples.
 */
import { colourOf, type Theme } from './colours.ts'

type Rgb = readonly [red: number, green: number, blue: number]

interface Scheme {
  /** Space between the colours, no `#`. */
  readonly anchors: string
  /** In this theme its other end comes first, so that little looks like the background. */
  readonly turnedIn: Theme
}

const SCHEMES: Readonly<Record<string, Scheme>> = {
  Blues: { anchors: 'f7fbff deebf7 c6dbef 9ecae1 6baed6 4292c6 2171b5 08519c 08306b', turnedIn: 'dark' },
  Oranges: { anchors: 'fff5eb fee6ce fdd0a2 fdae6b fd8d3c f16913 d94801 a63603 7f2704', turnedIn: 'dark' },
  Greys: { anchors: 'ffffff f0f0f0 d9d9d9 bdbdbd 969696 737373 525252 252525 000000', turnedIn: 'dark' },
  YlGnBu: { anchors: 'ffffd9 edf8b1 c7e9b4 7fcdbb 41b6c4 1d91c0 225ea8 253494 081d58', turnedIn: 'dark' },
  YlOrRd: { anchors: 'ffffcc ffeda0 fed976 feb24c fd8d3c fc4e2a e31a1c bd0026 800026', turnedIn: 'dark' },
  Viridis: {
    anchors: '440154 482475 414487 355f8d 2a788e 21918c 22a884 44bf70 7ad151 bddf26 fde725',
    turnedIn: 'light',
  },
  Magma: { anchors: '000004 140e36 3b0f70 641a80 8c2981 b73779 de4968 f7705c fe9f6d fecf92 fcfdbf', turnedIn: 'light' },
  Cividis: {
    anchors: '002051 0a326a 2b446e 4d566d 696970 7f7c75 948f78 ada476 caba6a ead156 fdea45',
    turnedIn: 'light',
  },
}
export const isKnownScheme = (name: string): boolean => Object.hasOwn(SCHEMES, name)

/** Anchors by the names of colours, as the theme has them. */
const CONTINUOUS: Readonly<Record<string, readonly string[]>> = {
  'continuous-GrYlRd': ['green', 'yellow', 'red'],
  'continuous-RdYlGr': ['red', 'yellow', 'green'],
  'continuous-BlYlRd': ['dark-blue', 'super-light-yellow', 'dark-red'],
  'continuous-YlRd': ['super-light-yellow', 'dark-red'],
  'continuous-BlPu': ['blue', 'purple'],
  'continuous-YlBl': ['super-light-yellow', 'dark-blue'],
  'continuous-blues': ['panel-bg', 'dark-blue'],
  'continuous-reds': ['panel-bg', 'dark-red'],
  'continuous-greens': ['panel-bg', 'dark-green'],
  'continuous-purples': ['panel-bg', 'dark-purple'],
}
export const isContinuousMode = (mode: string): boolean => Object.hasOwn(CONTINUOUS, mode)
export const CONTINUOUS_MODES: readonly string[] = Object.keys(CONTINUOUS)

const rgbOf = (hex: string): Rgb => {
  const value = Number.parseInt(hex.replace('#', ''), 16)
  return [value >> 16, (value >> 8) & 255, value & 255]
}

/** Uniform cubic B-spline through the first and last anchor. @param share from 0 to 1 */
function between(anchors: readonly Rgb[], share: number): string {
  const at = Math.min(1, Math.max(0, share)) * (anchors.length - 1)
  const i = Math.min(anchors.length - 2, Math.floor(at))
  const t = at - i
  const channel = (c: 0 | 1 | 2) => {
    const p1 = (anchors[i] as Rgb)[c]
    const p2 = (anchors[i + 1] as Rgb)[c]
    const p0 = anchors[i - 1]?.[c] ?? 2 * p1 - p2
    const p3 = anchors[i + 2]?.[c] ?? 2 * p2 - p1
    const sum =
      (1 - 3 * t + 3 * t ** 2 - t ** 3) * p0 +
      (4 - 6 * t ** 2 + 3 * t ** 3) * p1 +
      (1 + 3 * t + 3 * t ** 2 - 3 * t ** 3) * p2 +
      t ** 3 * p3
    return Math.round(Math.min(255, Math.max(0, sum / 6)))
  }
  return `#${[channel(0), channel(1), channel(2)].map((value) => value.toString(16).padStart(2, '0')).join('')}`
}

/** The colours of a heat map from little to much, `steps` of them. */
export function schemeColours(
  name: string,
  { theme, reverse, steps }: { theme: Theme; reverse: boolean; steps: number },
): string[] {
  const scheme = SCHEMES[name]
  if (!scheme) throw new RangeError(`the colour scheme "${name}" is not known here`)
  const anchors = scheme.anchors.split(' ').map(rgbOf)
  const colours = Array.from({ length: steps }, (_, i) => between(anchors, i / Math.max(1, steps - 1)))
  return reverse || scheme.turnedIn === theme ? colours.reverse() : colours
}

/** @param share of the way from the smallest to the largest value */
export function continuousColour(mode: string, share: number, theme: Theme): string {
  return between(
    (CONTINUOUS[mode] ?? []).map((name) => rgbOf(colourOf(name, theme))),
    share,
  )
}

/** Black or white, whichever is easier to read on the colour (WCAG's contrast). */
export function textColourOn(colour: string): string {
  if (!/^#[0-9a-f]{6}$/i.test(colour)) return 'inherit'
  return luminance(rgbOf(colour)) > 0.179 ? '#0c1016' : '#ffffff'
}

function luminance(rgb: Rgb): number {
  const [red, green, blue] = rgb.map((channel) => {
    const share = channel / 255
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  }) as [number, number, number]
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}
