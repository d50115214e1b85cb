/** What a spool counts. */
import type { Metrics } from '@tributary/runtime'

export type DamageReason = 'checksum' | 'segment_missing' | 'segment_unreadable' | 'read_error' | 'tail'

export const createMeters = (metrics: Metrics) => ({
  bytesWritten: metrics.counter(
    'spool_bytes_written_total',
    'Bytes that the spool wrote to its files, with all overhead.',
  ),
  bytesUsed: metrics.gauge('spool_bytes_used', 'Bytes in the segments of the spool.'),
  recordsDamaged: metrics.counter(
    'spool_records_damaged_total',
    'Sequences of the spool that cannot be read any more; counted when they are found missing.',
    ['reason'],
  ),
  setAside: metrics.counter('spool_files_set_aside_total', 'Files moved to the quarantine folder.', ['reason']),
  refused: metrics.counter('spool_appends_refused_total', 'Appends refused because there was no room.', ['reason']),
  syncSeconds: metrics.histogram(
    'spool_sync_seconds',
    'Duration of the fsync of a group of appends.',
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
  ),
  failing: metrics.gauge('spool_failing', '1 while writes fail and are tried again.'),
})

export type Meters = ReturnType<typeof createMeters>
