/** The seam of detectors with several inputs at one time: fields of a device, or a device and its peers. */
import type { Detector, Verdict } from './detector.ts'

export interface JointVerdict extends Verdict {
  /** Of the input that the verdict is about. */
  readonly value: number
}

/** As `Detector`, which see; its verdicts are about one of the inputs, in the unit of that. */
export interface JointDetector<State extends object>
  extends Pick<Detector<State>, 'name' | 'family' | 'start' | 'confirm' | 'dismiss'> {
  readonly inputs: number
  /** @param values one an input; NaN: there is none. A reading without any that counts is passed over. */
  observe(state: State, timeMs: number, values: ArrayLike<number>): JointVerdict | undefined
  last(state: State): JointVerdict
}
