/** Counts every byte that a spool writes to its files, those of attempts that failed later included: what wears a card. */
import type { FileSystem } from '@tributary/runtime'

export function meteredFileSystem(fileSystem: FileSystem, onWritten: (bytes: number) => void): FileSystem {
  return {
    ...fileSystem,
    async open(path, mode) {
      const file = await fileSystem.open(path, mode)
      return {
        ...file,
        async write(bytes, position) {
          const written = await file.write(bytes, position)
          onWritten(written)
          return written
        },
      }
    },
  }
}
