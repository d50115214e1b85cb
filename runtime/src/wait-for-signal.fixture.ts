/** A process around `runUntilSignal`, for its test. Argument: how its service behaves. */
import { systemClock } from './clock.ts'
import { UserError } from './errors.ts'
import { createLogger } from './logger.ts'
import { runUntilSignal } from './main.ts'

const say = (text: string) => process.stdout.write(`${text}\n`)
const [behaviour] = process.argv.slice(2)
const letGo = systemClock.after(3_600_000, () => undefined)

process.exitCode = await runUntilSignal(
  {
    name: 'fixture',
    async start(signal) {
      if (behaviour === 'misconfigured') throw new UserError('the port is taken', { hint: 'choose another' })
      if (behaviour === 'broken') throw new Error('unexpected')
      if (behaviour === 'slow-start') {
        say('starting')
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      }
      say('started')
    },
    async stop(signal) {
      say('stopping')
      if (behaviour === 'slow-stop' || behaviour === 'endless-stop')
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      say(`stopped ${signal.aborted ? signal.reason.message : 'in time'}`)
    },
  },
  { log: createLogger('fixture', 'info'), drainMsMax: behaviour === 'endless-stop' ? 200 : 10_000 },
)
letGo()
