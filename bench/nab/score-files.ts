/** The scores of each row as files, laid out as the benchmark lays out its results, for other scorers. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { NabFile } from './corpus.ts'

/** @returns the folder of the detector */
export async function writeScoreFiles(
  folder: string,
  detector: string,
  files: readonly NabFile[],
  scores: readonly Float64Array[],
): Promise<string> {
  for (const [f, file] of files.entries()) {
    const path = join(folder, detector, file.group, `${detector}_${file.name.slice(file.group.length + 1)}`)
    await mkdir(dirname(path), { recursive: true })
    const rows = file.timestamps.map((timestamp, row) => `${timestamp},${file.values[row]},${scores[f]?.[row]}`)
    await writeFile(path, `timestamp,value,anomaly_score\n${rows.join('\n')}\n`)
  }
  return join(folder, detector)
}
