/** One batch of each sort, fixed for ever; the same that stand as bytes in `fixtures/`. */
export { goldenBatches } from './golden-batches.ts'
