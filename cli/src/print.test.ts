import { describe, expect, test } from 'vitest'
import { age, brief, bytes, count, table } from './print.ts'

describe('table', () => {
  test('aligns words to the left and numbers to the right', () => {
    expect(
      table(
        ['agent', 'stored'],
        [
          ['pi-1', 12],
          ['workshop', 1_234_567],
        ],
      ).split('\n'),
    ).toEqual(['agent        stored', '────────  ─────────', 'pi-1             12', 'workshop  1,234,567'])
  })
  test('without rows it is the head alone', () => {
    expect(table(['id', 'reason'], [])).toBe('id  reason\n──  ──────')
  })
})

test('what devices wrote neither breaks a table nor reaches the terminal as a command', () => {
  expect(table(['a', 'b'], [['x\u001b[2Jy\nz', 'ü\u202eé']]).split('\n')[2]).toBe('x·[2Jy·z  ü·é')
  expect([brief('short\r\n'), brief('x'.repeat(500)).length]).toEqual(['short··', 161])
})

test('sizes, counts and ages are written for people', () => {
  expect([bytes(0), bytes(1023), bytes(1536), bytes(5 * 1024 ** 3)]).toEqual(['0 B', '1023 B', '1.5 KiB', '5.0 GiB'])
  expect([count(0), count(1234.56), count(Number.NaN)]).toEqual(['0', '1,234.6', '–'])
  expect([age(-5), age(61_000), age(600_000), age(10_800_000)]).toEqual(['0 s', '61 s', '10 min', '3 h'])
})
