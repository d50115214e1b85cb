/** Values that several parts of a contract are made of. */
import { z } from 'zod'
import { NAME_BYTES_MAX } from './limits.ts'

export const identifier = z
  .string()
  .max(NAME_BYTES_MAX)
  .regex(/^[a-z][a-z0-9_]*$/, 'lower-case letters, digits and "_", beginning with a letter')

/** "500ms", "1s", "5m", "1h" → milliseconds. */
export const duration = z
  .string()
  .regex(/^\d+(\.\d+)?(ms|s|m|h|d)$/, 'a number and a unit, such as "500ms", "10s", "5m", "1h"')
  .transform((text) => {
    const unit = /[a-z]+$/.exec(text)?.[0] as 'ms' | 's' | 'm' | 'h' | 'd'
    return Number.parseFloat(text) * { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit]
  })
