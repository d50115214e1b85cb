import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RecordingSummary, recordPort } from '@tributary/edge-agent'
import { type ReplaySummary, replayRecording } from '@tributary/firmware-sim'
import {
  encodeRecordingEntry,
  encodeRecordingHeader,
  parseRecordingEntry,
  parseRecordingHeader,
  type RecordingEntry,
} from '@tributary/protocol'
import { systemClock, UserError } from '@tributary/runtime'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

let folder = ''
const cleanUps: (() => unknown)[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'recording-'))
})
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
  rmSync(folder, { recursive: true, force: true })
})

async function until(what: string, condition: () => boolean, msMax = 20_000): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + msMax
  while (!condition()) {
    if (systemClock.monotonicMs() > deadlineMs) throw new Error(`not within ${msMax} ms: ${what}`)
    await systemClock.sleep(10)
  }
}

/** Every byte there is, in pieces of many sizes, 30 ms apart. */
const PIECES = Array.from({ length: 40 }, (_, i) => ({
  afterMs: 500 + i * 30,
  bytes: Buffer.from(Array.from({ length: 1 + ((i * 37) % 300) }, (_, j) => (i * 7 + j) % 256)),
}))
const HEADER = encodeRecordingHeader({
  port: '/dev/ttyUSB0',
  baud: 115_200,
  startedAtMs: 1_760_000_000_000,
  program: 'x',
})
const recordingOf = (entries: readonly RecordingEntry[]) => HEADER + entries.map(encodeRecordingEntry).join('')
const bytesOf = (entries: readonly RecordingEntry[]) =>
  Buffer.concat(entries.flatMap((entry) => ('bytes' in entry ? [entry.bytes] : [])))
function read(file: string): RecordingEntry[] {
  const [first, ...lines] = readFileSync(file, 'utf8').trimEnd().split('\n')
  expect(parseRecordingHeader(first as string)).toMatchObject({ recording: 1, baud: 115_200 })
  return lines.map((text) => {
    const entry = parseRecordingEntry(text)
    if ('problem' in entry) throw new Error(entry.problem)
    return entry
  })
}

interface Playing {
  readonly link: string
  readonly notices: string[]
  readonly done: Promise<ReplaySummary>
}
async function play(file: string, speed = 1): Promise<Playing> {
  const link = join(folder, `port-${cleanUps.length}`)
  const notices: string[] = []
  const stopping = new AbortController()
  const done = replayRecording(
    { file, link, speed },
    { clock: systemClock, onNotice: (text) => notices.push(text), onReady: () => undefined },
    stopping.signal,
  )
  cleanUps.push(async () => {
    stopping.abort(new DOMException('over', 'AbortError'))
    await done.catch(() => undefined)
  })
  await Promise.race([done, until('a port', () => existsSync(link))])
  return { link, notices, done }
}
function record(path: string, output: string, more: { forMs?: number; bytesMax?: number } = {}) {
  const stopping = new AbortController()
  const notices: string[] = []
  const done: Promise<RecordingSummary> = recordPort(
    { path, baud: 115_200, output, bytesMax: 2 ** 30, forMs: undefined, ...more },
    { clock: systemClock, onProgress: () => undefined, onNotice: (text) => notices.push(text) },
    stopping.signal,
  )
  cleanUps.push(async () => {
    stopping.abort()
    await done.catch(() => undefined)
  })
  return { stop: () => stopping.abort(), notices, done }
}

describe('a recording', () => {
  it('played back and recorded again has the same bytes at the same times', async () => {
    const file = join(folder, 'first')
    writeFileSync(file, recordingOf([...PIECES, { afterMs: 2_000, event: 'end', detail: 'asked to stop' }]))
    const playAndRecord = async (output: string): Promise<number[]> => {
      const { link, done } = await play(file)
      const again = record(link, output)
      expect(await done).toMatchObject({ bytes: bytesOf(PIECES).length, chunks: 40, damagedLines: 0, complete: true })
      expect(existsSync(link)).toBe(false)
      again.stop()
      expect(await again.done).toMatchObject({ bytes: bytesOf(PIECES).length, endedBecause: 'asked to stop' })
      const entries = read(output)
      expect(bytesOf(entries).equals(bytesOf(PIECES))).toBe(true)
      // When the first byte of each piece came, against when it went. The two begin at different moments: the rhythm must agree.
      const cameAtMs = entries.flatMap((entry) => ('bytes' in entry ? [...entry.bytes].map(() => entry.afterMs) : []))
      let offset = 0
      const delaysMs = PIECES.map(({ afterMs, bytes }) => {
        const delayMs = (cameAtMs[offset] as number) - afterMs
        offset += bytes.length
        return delayMs
      })
      const usualMs = [...delaysMs].sort((x, y) => x - y)[20] as number
      return delaysMs.map((delayMs) => Math.abs(delayMs - usualMs)).sort((x, y) => x - y)
    }
    // A busy machine holds one of the two processes up now and then: once without that is enough for the rhythm, the bytes must agree each time.
    for (let attempt = 1; ; attempt++) {
      const errorsMs = await playAndRecord(join(folder, `again-${attempt}`))
      console.info(`times off by ${errorsMs[20]?.toFixed(1)} ms (median), ${errorsMs.at(-1)?.toFixed(1)} ms (worst)`)
      if ((errorsMs[20] as number) < 15 && (errorsMs.at(-1) as number) < 250) break
      if (attempt === 8) expect(errorsMs.at(-1)).toBeLessThan(250)
    }
  }, 60_000)

  it('plays ten times as fast, and as fast as it is read', async () => {
    const file = join(folder, 'first')
    writeFileSync(file, recordingOf(PIECES.map((piece) => ({ ...piece, afterMs: piece.afterMs * 10 }))))
    for (const [speed, secondsMax] of [
      [10, 6],
      [Infinity, 4],
    ] as const) {
      const { link, done } = await play(file, speed)
      const again = record(link, join(folder, `again-${speed}`))
      const played = await done
      again.stop()
      await again.done
      expect(bytesOf(read(join(folder, `again-${speed}`))).equals(bytesOf(PIECES))).toBe(true)
      expect(played.seconds).toBeLessThan(secondsMax)
      expect(played.complete).toBe(false)
    }
  })

  it('that is damaged or cut off is told where, and what is whole of it is played', async () => {
    const file = join(folder, 'damaged')
    const lines = recordingOf(PIECES).split('\n')
    lines[3] = (lines[3] as string).replace('"bytes":"', '"bytes":"AAAA')
    lines[7] = 'something else'
    writeFileSync(file, lines.join('\n').slice(0, -30))
    const { link, notices, done } = await play(file, Infinity)
    const again = record(link, join(folder, 'again'))
    const played = await done
    again.stop()
    await again.done
    const whole = PIECES.filter((_, i) => i !== 2 && i !== 6 && i !== 39)
    expect(bytesOf(read(join(folder, 'again'))).equals(bytesOf(whole))).toBe(true)
    expect(played).toMatchObject({ damagedLines: 3, complete: false })
    expect(notices.filter((text) => text.includes(file))).toEqual([
      `${file}:4: the line is damaged: its checksum does not agree; left out`,
      `${file}:8: the line is not whole: it has no checksum; left out`,
      `${file}:41: the recording was cut off here; left out`,
    ])
  })

  it('of a device that went away: so does the port, and the recording of it goes on when it is back', async () => {
    const file = join(folder, 'unplugged')
    const at = (afterMs: number, text: string) => ({ afterMs, bytes: Buffer.from(text) })
    writeFileSync(
      file,
      recordingOf([
        { afterMs: 0, event: 'opened', detail: '' },
        at(10, 'before\n'),
        { afterMs: 1_000, event: 'closed', detail: 'unplugged' },
        { afterMs: 1_500, event: 'opened', detail: '' },
        at(2_000, 'after\n'),
        { afterMs: 2_100, event: 'end', detail: '' },
      ]),
    )
    const { link, done } = await play(file)
    const again = record(link, join(folder, 'again'))
    await until('it is gone', () => again.notices.some((text) => text.includes('waiting for it')))
    await done
    again.stop()
    expect(await again.done).toMatchObject({ opened: 2, newlines: 2, bytes: 13 })
    const entries = read(join(folder, 'again'))
    expect(entries.map((entry) => ('event' in entry ? entry.event : Buffer.from(entry.bytes).toString()))).toEqual([
      'opened',
      'before\n',
      'closed',
      'opened',
      'after\n',
      ...(entries.some((entry) => 'event' in entry && entry.detail.includes('unplugged') && entry.afterMs > 1_500)
        ? ['closed']
        : []),
      'end',
    ])
  })

  it('ends at its size, and at its time; an output that exists is left alone; mistakes are said', async () => {
    const file = join(folder, 'first')
    writeFileSync(file, recordingOf(PIECES.map((piece) => ({ ...piece, afterMs: piece.afterMs * 10 }))))
    const { link } = await play(file)
    const small = await record(link, join(folder, 'small'), { bytesMax: 2_000 }).done
    expect(small.endedBecause).toBe('the file has 2000 bytes')
    expect(small.fileBytes).toBeLessThan(2_200)
    const kept = bytesOf(read(join(folder, 'small')))
    expect(kept.equals(bytesOf(PIECES).subarray(0, kept.length))).toBe(true)
    await expect(record(link, file).done).rejects.toThrow(`${file} exists already`)
    const timed = await record(link, join(folder, 'timed'), { forMs: 300 }).done
    expect(timed.endedBecause).toBe('the time is over')
    expect(timed.seconds).toBeLessThan(3)
    await expect(record(join(folder, 'nowhere'), join(folder, 'none')).done).rejects.toThrow('there is no')
    expect(existsSync(join(folder, 'none'))).toBe(false)
    await expect(replayInto(file)).rejects.toThrow('is there already, and is no link')
    writeFileSync(join(folder, 'text'), 'hello\n')
    await expect(play(join(folder, 'text')).then((one) => one.done)).rejects.toThrow('this is no recording')
    await expect(play(join(folder, 'missing')).then((one) => one.done)).rejects.toThrow(UserError)
  })
})

const replayInto = (link: string) =>
  replayRecording(
    { file: link, link, speed: 1 },
    { clock: systemClock, onNotice: () => undefined, onReady: () => undefined },
    new AbortController().signal,
  )

describe('as commands', () => {
  const run = (...options: string[]): { child: ChildProcess; said: () => string; exit: Promise<number | null> } => {
    const main = join(import.meta.dirname, '..', 'main.ts')
    const child = spawn(process.execPath, ['--import', 'tsx', main, ...options], { stdio: ['ignore', 'pipe', 'pipe'] })
    cleanUps.push(() => child.kill('SIGKILL'))
    let text = ''
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (bytes: Buffer) => {
        text += bytes.toString()
      })
    return { child, said: () => text, exit: new Promise((resolve) => child.once('close', resolve)) }
  }

  it('replay prints its path; record survives SIGKILL with what it had, and ends cleanly on Ctrl-C', async () => {
    const file = join(folder, 'first')
    writeFileSync(file, recordingOf(PIECES.map((piece) => ({ ...piece, afterMs: piece.afterMs * 100 }))))
    const replay = run('simulate', '--replay', file, '--speed', '10')
    const link = `${file}.port`
    await until('it says where', () => replay.said().includes(`${link}\n`))
    const killed = run('record', link, '--output', join(folder, 'killed'))
    const size = (name: string) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name)).length : 0)
    await until('some bytes', () => size('killed') > 1_000)
    killed.child.kill('SIGKILL')
    await killed.exit
    expect(bytesOf(read(join(folder, 'killed'))).length).toBeGreaterThan(100)
    const stopped = run('record', link, '--output', join(folder, 'stopped'), '--json')
    await until('some bytes', () => size('stopped') > 1_000)
    stopped.child.kill('SIGINT')
    expect(await stopped.exit).toBe(0)
    const summary = JSON.parse(stopped.said())
    const entries = read(join(folder, 'stopped'))
    expect(summary).toMatchObject({ port: link, endedBecause: 'asked to stop', bytes: bytesOf(entries).length })
    expect(entries.at(-1)).toMatchObject({ event: 'end' })
    replay.child.kill('SIGINT')
    expect(await replay.exit).toBe(0)
    expect(existsSync(link)).toBe(false)
    const nothing = run('simulate')
    expect(await nothing.exit).toBe(2)
    expect(nothing.said()).toContain('--data-dir is missing')
  })
})
