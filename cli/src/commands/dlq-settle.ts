/** `tributary dlq requeue` and `dlq drop`: a look ahead, the requests, and what became of them. */
import { randomBytes } from 'node:crypto'
import type { DeadLetter, LetterSettlement } from '@tributary/protocol'
import { ContractsError, readContracts } from '@tributary/protocol'
import { systemClock, UserError } from '@tributary/runtime'
import { isSelected, isSelective, type Selection } from '../dead-letter-selection.ts'
import { withNats } from '../nats-connection.ts'
import { count, print, printJson } from '../print.ts'
import { createProgress } from '../progress.ts'
import { createSettlingTally, type SettlingTally, settlingText } from '../settling-report.ts'

const EXIT_INTERRUPTED = 130

export interface SettleOptions extends Selection {
  readonly nats: string
  readonly all?: boolean
  readonly dryRun?: boolean
  readonly contracts?: string
  readonly yes?: boolean
  /** Milliseconds. */
  readonly wait: number
  readonly json?: boolean
}

export async function settleLetters(
  action: 'requeue' | 'drop',
  ids: readonly string[],
  options: SettleOptions,
): Promise<void> {
  if (ids.length === 0 && !isSelective(options) && !options.all)
    throw new UserError(`say which dead letters to ${action}`, {
      hint: 'give ids, or --reason, --agent, --device, --kind, --stage, --since, --until; --all means every one',
    })
  const stopping = new AbortController()
  const onSignal = () => stopping.abort(new DOMException('interrupted', 'AbortError'))
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const isLookingAhead = Boolean(options.dryRun) || (action === 'drop' && !options.yes)
  const tally = createSettlingTally(action, isLookingAhead)
  const progress = createProgress(process.stderr, systemClock)
  const shown = () => progress.say(() => `${count(tally.letters)} letters …`)
  const left = new Set(ids)
  let isWhole = false
  try {
    await withNats(options.nats, async (connection) => {
      const { readDeadLetters, requestLetters } = await import('@tributary/cloud-processor')
      const wanted = new Set(ids)
      const { agent, stage } = options
      const filter = { ...(agent ? { agent } : {}), ...(stage ? { stage } : {}) }
      async function* selected(): AsyncGenerator<DeadLetter> {
        for await (const letter of readDeadLetters(connection, filter)) {
          if (stopping.signal.aborted) return
          if (!isSelected(letter, options, wanted)) continue
          left.delete(letter.id)
          yield letter
        }
      }
      if (isLookingAhead) await lookAhead(action, selected(), options.contracts, tally, shown)
      else {
        const onAnswer = (letter: DeadLetter, answer: LetterSettlement | string | undefined) => {
          tally.add(letter, answer)
          shown()
        }
        const request = randomBytes(8).toString('hex')
        const asking = { action, request, patienceMs: options.wait, clock: systemClock, onAnswer }
        await requestLetters(connection, selected(), asking, stopping.signal)
      }
    })
    isWhole = true
  } finally {
    progress.done()
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
    const report = tally.report()
    // Of work that failed before it began there is nothing to say but why.
    if (isWhole || report.letters > 0)
      if (options.json) printJson(report)
      else print(settlingText(report))
  }
  if (stopping.signal.aborted) {
    process.stderr.write('interrupted: what was asked for is done all the same, and is not repeated\n')
    process.exitCode = EXIT_INTERRUPTED
    return
  }
  if (left.size > 0)
    throw new UserError(`not in the queue: ${[...left].slice(0, 10).join(', ')}${left.size > 10 ? ', …' : ''}`, {
      hint: '`tributary dlq list --reason REASON` prints ids; what was requeued or dropped is not in it any more',
    })
  if (action === 'drop' && !options.yes && !options.dryRun && tally.letters > 0)
    throw new UserError('nothing was dropped yet', {
      hint: 'add --yes when that is what you want: it cannot be undone',
    })
  if (tally.report().unanswered > 0) process.exitCode = 1
}

/** What contracts say of each letter, without asking anybody. */
async function lookAhead(
  action: 'requeue' | 'drop',
  letters: AsyncIterable<DeadLetter>,
  folder: string | undefined,
  tally: SettlingTally,
  shown: () => void,
): Promise<void> {
  const { judgeLetter, obstacleToRequest, takeExtrasInOrder } = await import('@tributary/cloud-processor')
  const takeExtra = takeExtrasInOrder()
  const contracts =
    action === 'drop'
      ? new Map()
      : await readContracts(folder ?? 'contracts').catch((error: unknown) => {
          if (!(error instanceof ContractsError)) throw error
          throw new UserError(error.message, {
            cause: error,
            hint: 'give the folder of the corrected contracts with --contracts',
          })
        })
  for await (const letter of letters) {
    const obstacle = obstacleToRequest(letter, action)
    if (obstacle !== undefined) tally.add(letter, obstacle)
    else if (action === 'drop')
      tally.add(letter, { outcome: 'dropped', stored: 0, refused: letter.readingCount, reason: '', detail: '' })
    else {
      const verdict = judgeLetter(letter, contracts, systemClock.wallMs(), takeExtra)
      tally.add(letter, typeof verdict === 'string' ? verdict : { ...verdict, outcome: 'stored' })
    }
    shown()
  }
}
