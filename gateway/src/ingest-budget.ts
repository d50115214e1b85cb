/** Bytes of unacknowledged PUBLISH packets of all clients together. Whoever finds no room is called when there is some. */
export interface IngestBudget {
  /** @returns false when there is no room; then `onRoom` is called once there may be */
  take(bytes: number, onRoom: () => void): boolean
  give(bytes: number): void
  /** No longer interested. */
  leave(onRoom: () => void): void
  readonly bytesUsed: number
}

export function createIngestBudget(bytesMax: number): IngestBudget {
  let used = 0
  const waiting = new Set<() => void>()
  return {
    get bytesUsed() {
      return used
    },
    take(bytes, onRoom) {
      if (used > 0 && used + bytes > bytesMax) {
        waiting.add(onRoom)
        return false
      }
      used += bytes
      return true
    },
    give(bytes) {
      used -= bytes
      for (const onRoom of [...waiting]) {
        if (used >= bytesMax) break
        waiting.delete(onRoom)
        onRoom()
      }
    },
    leave: (onRoom) => void waiting.delete(onRoom),
  }
}
