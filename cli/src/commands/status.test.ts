import { expect, test } from 'vitest'
import { processorText } from './status.ts'

const status = {
  processor: 'processor-1',
  natsConnected: true,
  influx: { url: 'http://127.0.0.1:8086', version: '1.6.7', ok: true },
  readingsTotal: 12_345,
  series: 7,
  openAlerts: 1,
}
const line =
  'processor processor-1: NATS connected, InfluxDB 1.6.7 at http://127.0.0.1:8086 answers, 12,345 readings, 7 series, 1 open alerts'

test('a processor, also an older one that says nothing of receivers', () => {
  expect(processorText(status)).toBe(line)
  expect(processorText({ ...status, failingReceivers: [] })).toBe(line)
})

test('receivers that take nothing are named, and what they answered does not reach the terminal as it is', () => {
  const failing = { receiver: 'chat', failingForMs: 720_000, lastError: 'chat.example.org answered 404: \u001b[2Jno' }
  expect(processorText({ ...status, failingReceivers: [failing] })).toBe(
    `${line}\nreceiver chat TAKES NO NOTIFICATIONS for 12 min: chat.example.org answered 404: ·[2Jno`,
  )
})
