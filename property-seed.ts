/**
 * Property tests begin with one seed: a run says the same of the same code. `PROPERTY_SEED=7 npm run check` explores others; what
 * they find is kept as a test of its own.
 */
import fc from 'fast-check'

fc.configureGlobal({ seed: Number(process.env['PROPERTY_SEED'] ?? 20_261_122) })
