/** A bus hiccup while looking must not be taken for damage: what changes nothing is tried three times. */
import { errorCode, type FileSystem, type OpenFile } from '@tributary/runtime'

const ATTEMPTS_MAX = 3
/** These are answers, not failures. */
const ANSWERS = new Set(['ENOENT', 'EEXIST', 'EACCES', 'EISDIR', 'ENOTDIR'])

export function patientFileSystem(fileSystem: FileSystem): FileSystem {
  const patiently = async <T>(look: () => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt++)
      try {
        return await look()
      } catch (error) {
        if (attempt === ATTEMPTS_MAX || ANSWERS.has(errorCode(error) ?? '')) throw error
      }
  }
  const patientFile = (file: OpenFile): OpenFile => ({
    read: (position, length) => patiently(() => file.read(position, length)),
    size: () => patiently(() => file.size()),
    write: (bytes, position) => file.write(bytes, position),
    sync: () => file.sync(),
    truncate: (length) => file.truncate(length),
    // What had to be safe was synced before.
    close: () => file.close().catch(() => undefined),
  })
  return {
    ...fileSystem,
    open: async (path, mode) =>
      patientFile(await (mode === 'read' ? patiently(() => fileSystem.open(path, mode)) : fileSystem.open(path, mode))),
    list: (path) => patiently(() => fileSystem.list(path)),
    exists: (path) => patiently(() => fileSystem.exists(path)),
    makeFolder: (path) => patiently(() => fileSystem.makeFolder(path)),
    freeBytes: (path) => patiently(() => fileSystem.freeBytes(path)),
  }
}
