/** What rules, inhibitions and silences apply to. */
import { z } from 'zod'

/** An absent key applies to everything. Each entry is a name in which `*` stands for any text. */
export interface RuleMatch {
  readonly site?: readonly string[] | undefined
  readonly kind?: readonly string[] | undefined
  readonly device?: readonly string[] | undefined
  readonly field?: readonly string[] | undefined
  /** A detector's family (`threshold`, `outlier`, `flatline`, `silence`, `link`) or its full name (`threshold_above_7.1`). */
  readonly detector?: readonly string[] | undefined
  /** Of alerts alone, which have one. */
  readonly rule?: readonly string[] | undefined
}

/** A verdict, or an alert. */
export interface Matched {
  readonly site: string
  readonly kind: string
  readonly device: string
  readonly field: string
  readonly detector: string
  readonly family?: string | undefined
  readonly rule?: string | undefined
}

export const patterns = z
  .union([z.string().min(1), z.array(z.string().min(1)).min(1)], { error: 'must be a name or a list of names' })
  .transform((given): readonly string[] => (typeof given === 'string' ? [given] : given))
  .optional()

export function compile(match: RuleMatch): (of: Matched) => boolean {
  const tests: ((of: Matched) => boolean)[] = []
  for (const key of ['site', 'kind', 'device', 'field', 'rule'] as const) {
    const named = match[key]?.map(matcher)
    if (named) tests.push((of) => named.some((test) => test(of[key] ?? '')))
  }
  const detectors = match.detector?.map(matcher)
  if (detectors) tests.push(({ detector, family = '' }) => detectors.some((test) => test(detector) || test(family)))
  return (of) => tests.every((test) => test(of))
}

/** `pump-*` → a test for names. */
export function matcher(pattern: string): (name: string) => boolean {
  if (!pattern.includes('*')) return (name) => name === pattern
  const parts = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  const expression = new RegExp(`^${parts.join('.*')}$`)
  return (name) => expression.test(name)
}
