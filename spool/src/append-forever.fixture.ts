/** A process that appends until it is killed, and says what was acknowledged. Arguments: folder, durability in ms. */
import { createLogger, createMetrics, systemClock } from '@tributary/runtime'
import { openSpool } from './spool.ts'

const [folder, durabilityMs] = process.argv.slice(2)
const spool = await openSpool(
  folder as string,
  { segmentBytesMax: 32 * 1024, bytesMax: 64 * 1024 ** 2, durabilityMs: Number(durabilityMs), freeBytesMin: 0 },
  { clock: systemClock, log: createLogger('fixture', 'error'), metrics: createMetrics('fixture') },
)
process.stdout.write(`open ${spool.nextSequence} ${spool.losses.length}\n`)
for (;;) {
  const group = Array.from({ length: 20 }, async () => {
    const payload = Buffer.from(`${spool.epoch}/${spool.nextSequence}`.padEnd(spool.nextSequence % 700))
    process.stdout.write(`ack ${await spool.append(payload)}\n`)
  })
  await Promise.all(group)
}
