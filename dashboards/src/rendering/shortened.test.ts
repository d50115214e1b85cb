import { expect, it } from 'vitest'
import { shortened } from './shortened.ts'

const byCharacter = (text: string) => [...text].length

it('leaves alone what fits', () => {
  expect(shortened('agent-1', 7, byCharacter)).toBe('agent-1')
  expect(shortened('', 0, byCharacter)).toBe('')
})

it('keeps the beginning and the end, by which names differ', () => {
  expect(shortened('workshop-agent-12', 9, byCharacter)).toBe('work…t-12')
  expect(shortened('Temperature of the room', 13, byCharacter)).toBe('Temper…e room')
})

it('never is wider than it may be, down to one character and the sign', () => {
  const name = 'Rücklauf 🌡 Heizung'
  for (let width = 2; width < 20; width++)
    expect(byCharacter(shortened(name, width, byCharacter))).toBeLessThanOrEqual(width)
  expect(shortened(name, 0, byCharacter)).toBe('R…')
})
