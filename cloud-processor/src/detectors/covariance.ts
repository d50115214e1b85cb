/**
 * Mean and covariance of a few fields, learned online with forgetting, and what they say of one field given the others: for a normal
 * distribution with precision matrix P, the expected value of field i is x_i - (P d)_i / P_ii and its variance 1 / P_ii, where d is
 * the deviation from the mean (Rue and Held, Gaussian Markov Random Fields, 2005, theorem 2.3).
 * (P d)_i² / P_ii is also what the squared Mahalanobis distance loses when field i is left out.
 *
 * Regularised, so that constant and collinear fields do no harm: each variance is raised by the square of RIDGE deviations and of a
 * floor, and the matrix that is inverted is one of correlations.
 */
import { TOGETHER_FIELDS_MAX } from '@tributary/protocol'

/** Share of a field's deviation that no relation is trusted to explain. */
const RIDGE = 0.02

export interface Moments {
  /** One a field. */
  mean: number[]
  /** Lower triangle, row after row. */
  covariance: number[]
}

const at = (row: number, column: number): number =>
  row >= column ? (row * (row + 1)) / 2 + column : (column * (column + 1)) / 2 + row

export const createMoments = (fields: number): Moments => ({
  mean: new Array<number>(fields).fill(0),
  covariance: new Array<number>((fields * (fields + 1)) / 2).fill(0),
})

const shift = new Float64Array(TOGETHER_FIELDS_MAX)

/** @param weight of this sample, 0 to 1; the first has 1 */
export function learn({ mean, covariance }: Moments, values: ArrayLike<number>, weight: number): void {
  for (let i = 0; i < mean.length; i++) {
    shift[i] = (values[i] as number) - (mean[i] as number)
    mean[i] = (mean[i] as number) + weight * (shift[i] as number)
  }
  let cell = 0
  for (let i = 0; i < mean.length; i++)
    for (let j = 0; j <= i; j++, cell++)
      covariance[cell] =
        (1 - weight) * ((covariance[cell] as number) + weight * (shift[i] as number) * (shift[j] as number))
}

/**
 * Brings a sample nearer to the mean, all fields by the same share, so that how they move together stays.
 * @param share 0: to the mean; 1: it stays where it is
 */
export function approach({ mean }: Moments, values: Float64Array, share: number): void {
  for (let i = 0; i < mean.length; i++)
    values[i] = (mean[i] as number) + share * ((values[i] as number) - (mean[i] as number))
}

/** @returns the share by which no field would be further from its mean than so many deviations. @param floors as in `relate` */
export function shareWithin(
  { mean, covariance }: Moments,
  values: ArrayLike<number>,
  floors: readonly number[],
  sigmas: number,
): number {
  let share = 1
  for (let i = 0; i < mean.length; i++) {
    const reach = sigmas * Math.max(Math.sqrt(covariance[at(i, i)] as number), floors[i] as number)
    share = Math.min(share, reach / Math.abs((values[i] as number) - (mean[i] as number)))
  }
  return share
}

/** What `relate` finds; each list is by field. Overwritten by the next call. */
export interface Relations {
  /** What the field should be, given the others. */
  readonly expected: Float64Array
  /** Standard deviation of that; 0 of fields that are not known. */
  readonly deviation: Float64Array
  /** Share of the field's variance that the others explain. */
  readonly explained: Float64Array
  /** Squared Mahalanobis distance of all fields that are known. */
  distance: number
}

const relations: Relations = {
  expected: new Float64Array(TOGETHER_FIELDS_MAX),
  deviation: new Float64Array(TOGETHER_FIELDS_MAX),
  explained: new Float64Array(TOGETHER_FIELDS_MAX),
  distance: 0,
}
const matrix = new Float64Array(TOGETHER_FIELDS_MAX * TOGETHER_FIELDS_MAX)
const scale = new Float64Array(TOGETHER_FIELDS_MAX)
const known = new Int32Array(TOGETHER_FIELDS_MAX)

/**
 * What the fields that are known say of each of them.
 * @param values NaN: not known; its field is left out of everything
 * @param floors least standard deviation of each field, above 0
 */
export function relate(
  { mean, covariance }: Moments,
  values: ArrayLike<number>,
  floors: readonly number[],
): Readonly<Relations> {
  let count = 0
  for (let i = 0; i < mean.length; i++) {
    relations.deviation[i] = relations.explained[i] = 0
    relations.expected[i] = mean[i] as number
    if (!Number.isNaN(values[i])) known[count++] = i
  }
  for (let a = 0; a < count; a++) {
    const i = known[a] as number
    scale[a] = Math.sqrt((covariance[at(i, i)] as number) * (1 + RIDGE * RIDGE) + (floors[i] as number) ** 2)
  }
  for (let a = 0; a < count; a++)
    for (let b = 0; b < count; b++)
      matrix[a * count + b] =
        a === b
          ? 1
          : (covariance[at(known[a] as number, known[b] as number)] as number) /
            (scale[a] as number) /
            (scale[b] as number)
  invert(matrix, count)
  relations.distance = 0
  for (let a = 0; a < count; a++) {
    let pulled = 0
    for (let b = 0; b < count; b++) {
      const j = known[b] as number
      pulled +=
        ((matrix[a * count + b] as number) * ((values[j] as number) - (mean[j] as number))) / (scale[b] as number)
    }
    const i = known[a] as number
    const precision = matrix[a * count + a] as number
    relations.expected[i] = (values[i] as number) - (pulled / precision) * (scale[a] as number)
    relations.deviation[i] = (scale[a] as number) / Math.sqrt(precision)
    relations.explained[i] = 1 - 1 / precision
    relations.distance += (pulled * ((values[i] as number) - (mean[i] as number))) / (scale[a] as number)
  }
  return relations
}

/** In place, by Gauss and Jordan; positive definite matrices need no pivoting. */
function invert(cells: Float64Array, size: number): void {
  for (let p = 0; p < size; p++) {
    const pivot = cells[p * size + p] as number
    cells[p * size + p] = 1
    for (let j = 0; j < size; j++) cells[p * size + j] = (cells[p * size + j] as number) / pivot
    for (let i = 0; i < size; i++) {
      if (i === p) continue
      const factor = cells[i * size + p] as number
      cells[i * size + p] = 0
      for (let j = 0; j < size; j++)
        cells[i * size + j] = (cells[i * size + j] as number) - factor * (cells[p * size + j] as number)
    }
  }
}
