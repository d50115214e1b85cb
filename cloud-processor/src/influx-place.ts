/** Where in InfluxDB we write, and how one asks for it to be made. */
import { UserError } from '@tributary/runtime'
import type { InfluxAnswer } from './influx-connection.ts'
import type { NoteProvision } from './make-missing.ts'

export interface StorePlace {
  readonly database: string
  /** 2.x. */
  readonly org?: string | undefined
  /** How long windows are kept, such as `90d`; for ever when undefined. */
  readonly rollupRetention?: string | undefined
}

/** @throws InfluxRefusal for an answer that is none of success */
export type AskInflux = (
  method: 'GET' | 'POST',
  path: string,
  body?: { form?: string; json?: unknown },
) => Promise<InfluxAnswer>

export type ProvisionPlace = (place: StorePlace, ask: AskInflux, dryRun: boolean, note: NoteProvision) => Promise<void>

/** InfluxDB answered, and does not do it. */
export class InfluxRefusal extends UserError {
  override readonly name = 'InfluxRefusal'
  readonly status: number
  constructor(detail: string, status: number, hint: string) {
    super(detail, { hint })
    this.status = status
  }
}

/** Of two that make it at the same time the later one is told that it is there. */
export async function unlessMade(work: Promise<unknown>): Promise<void> {
  try {
    await work
  } catch (error) {
    const isThere = error instanceof InfluxRefusal && [409, 422].includes(error.status) && /exist/.test(error.message)
    if (!isThere) throw error
  }
}

const SECONDS = { m: 60, h: 3_600, d: 86_400, w: 604_800 } as const

/** `90d` → seconds; 0: for ever. */
export function secondsOf(duration: string | undefined): number {
  if (duration === undefined) return 0
  return Number(duration.slice(0, -1)) * SECONDS[duration.slice(-1) as keyof typeof SECONDS]
}
