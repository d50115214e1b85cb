/**
 * Where the state of a partition is kept. Guarantee of every store: once `save` resolves, the state is kept as safely as the store keeps
 * things, and `load` gives the newest state that is whole. Once `claim` resolves, whoever claimed the partition before cannot
 * save any more.
 */
import { UserError } from '@tributary/runtime'

export interface Checkpoint {
  /** undefined when there is none yet, or no generation is whole */
  readonly bytes: Uint8Array | undefined
  /** Grows with every save; 0 when there was none. */
  readonly revision: number
  /** The newest one is damaged: messages may have been acknowledged that this one does not know. */
  readonly isOlder: boolean
}

export interface CheckpointStore {
  load(): Promise<Checkpoint>
  /**
   * Takes the partition.
   * @param known what `load` gave
   * @returns that with its new revision, or what somebody saved since
   * @throws TakenOverError when this store had the partition and somebody else claimed it since
   */
  claim(known: Checkpoint): Promise<Checkpoint>
  /**
   * @param expectedRevision that of the claim or the last save
   * @returns the new revision
   * @throws TakenOverError when somebody else has claimed the partition since
   */
  save(bytes: Uint8Array, expectedRevision: number): Promise<number>
  /** It forgets that it had the partition: its next claim takes it from whoever has it. */
  release(): void
}

export class TakenOverError extends UserError {
  override readonly name = 'TakenOverError'
  readonly by: string
  constructor(partition: number, by: string) {
    super(`partition ${partition} was taken over by ${by}`, {
      hint: 'two processors work on the same partitions: stop one of them, or give each partitions of its own',
    })
    this.by = by
  }
}
