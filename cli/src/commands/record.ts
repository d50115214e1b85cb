/** `tributary record`: what a serial port says, byte for byte with times, into a file that `simulate --replay` plays back. */
import { UserError } from '@tributary/runtime'
import { Command } from 'commander'
import { byteCount, duration, wholeNumber } from '../option-values.ts'
import { bytes, count, print, printJson } from '../print.ts'

interface RecordCommandOptions {
  output: string
  baud: number
  for?: number
  bytesMax: number
  json?: boolean
}

export function recordCommand(): Command {
  return new Command('record')
    .description('write the raw bytes of a serial port with their times to a file; plays back with `simulate --replay`')
    .argument('<port>', 'such as /dev/serial/by-id/usb-…; stop the agent first, one program at a time can read a port')
    .requiredOption('--output <file>', 'a new file')
    .option('--baud <n>', 'bits a second', wholeNumber, 115_200)
    .option('--for <duration>', 'end after this long, such as 60s; else Ctrl-C ends it', duration)
    .option('--bytes-max <size>', 'end when the file has this size, such as 64MiB', byteCount, 256 * 1024 ** 2)
    .option('--json', 'print the summary as JSON')
    .addHelpText(
      'after',
      '\nThe port is raw: 8 data bits, no parity, 1 stop bit, no flow control. DTR stays up afterwards. What is in the file: docs/serial-framings.md.',
    )
    .action(record)
}

async function record(path: string, options: RecordCommandOptions): Promise<void> {
  if (options.baud < 50) throw new UserError(`--baud ${options.baud} is no speed`, { hint: 'such as 9600 or 115200' })
  const { recordPort } = await import('@tributary/edge-agent')
  const { systemClock } = await import('@tributary/runtime')
  const stopping = new AbortController()
  const stop = () => stopping.abort()
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  const say = (text: string) => process.stderr.write(`${text}\n`)
  let before = { bytes: 0, newlines: 0, zeros: 0, seconds: 0 }
  const live = process.stderr.isTTY && !options.json
  try {
    const summary = await recordPort(
      { path, baud: options.baud, output: options.output, bytesMax: options.bytesMax, forMs: options.for },
      {
        clock: systemClock,
        onNotice: (text) => say(`${live ? '\r' : ''}${text}`),
        onProgress: (counts, seconds) => {
          if (!live) return
          const overSeconds = Math.max(0.001, seconds - before.seconds)
          const rate = (now: number, then: number) => count(Math.round((now - then) / overSeconds))
          process.stderr.write(
            `\r${count(Math.round(seconds))} s  ${rate(counts.bytes, before.bytes)} bytes/s  ${rate(counts.newlines, before.newlines)} lines/s  ${rate(counts.zeros, before.zeros)} zero bytes/s  file ${bytes(counts.fileBytes)}   `,
          )
          before = { ...counts, seconds }
        },
      },
      stopping.signal,
    )
    if (live) say('')
    if (options.json) printJson({ port: path, baud: options.baud, output: options.output, ...summary })
    else {
      const perSecond = (value: number) => count(Math.round((value / Math.max(0.001, summary.seconds)) * 10) / 10)
      print(
        `${options.output}: ${count(summary.bytes)} bytes in ${count(Math.round(summary.seconds * 10) / 10)} s (${perSecond(summary.bytes)}/s), ${count(summary.newlines)} lines (${perSecond(summary.newlines)}/s), ${count(summary.zeros)} zero bytes; ended: ${summary.endedBecause}`,
      )
      if (summary.bytes === 0)
        print('nothing was heard: is the speed right (--baud), and does the device speak unasked?')
      else print(`play it back: tributary simulate --replay ${options.output}`)
    }
  } finally {
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
  }
}
