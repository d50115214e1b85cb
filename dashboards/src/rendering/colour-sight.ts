/** How far apart two colours look to those who see them least apart: the colour-blind of three kinds, and everybody else. For tests only. */

type Vector = readonly [number, number, number]
type Matrix = readonly [Vector, Vector, Vector]

/** Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as it is seen. */
const SIGHTS: Readonly<Record<string, Matrix>> = {
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
}
/** Ottosson 2020: linear RGB to cones, and their cube roots to OKLab, in which distances are as far as they look. */
const CONES: Matrix = [
  [0.4122214708, 0.5363325363, 0.0514459929],
  [0.2119034982, 0.6806995451, 0.1073969566],
  [0.0883024619, 0.2817188376, 0.6299787005],
]
const LAB: Matrix = [
  [0.2104542553, 0.793617785, -0.0040720468],
  [1.9779984951, -2.428592205, 0.4505937099],
  [0.0259040371, 0.7827717662, -0.808675766],
]

const map = ([x, y, z]: Vector, change: (part: number) => number): Vector => [change(x), change(y), change(z)]
const times = (rows: Matrix, [x, y, z]: Vector): Vector =>
  map([0, 1, 2], (row) => {
    const [a, b, c] = rows[row] as Vector
    return a * x + b * y + c * z
  })
const clamped = (part: number) => Math.min(1, Math.max(0, part))

function linear(hex: string): Vector {
  return map([1, 3, 5], (at) => {
    const part = Number.parseInt(hex.slice(at, at + 2), 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  })
}
const labOf = (rgb: Vector): Vector => times(LAB, map(times(CONES, map(rgb, clamped)), Math.cbrt))

/** @returns their distance in OKLab to the eyes to which it is smallest; 0.02 is just seen side by side */
export const distanceSeen = (one: string, other: string): number =>
  Math.min(
    ...Object.values(SIGHTS).map((sight) => {
      const [a, b] = [labOf(times(sight, linear(one))), labOf(times(sight, linear(other)))]
      return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2])
    }),
  )

/** Contrast by WCAG, from 1 to 21. */
export function contrast(one: string, other: string): number {
  const light = (hex: string) => {
    const [red, green, blue] = linear(hex)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05
  }
  return Math.max(light(one), light(other)) / Math.min(light(one), light(other))
}
