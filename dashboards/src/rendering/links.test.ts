import { expect, it } from 'vitest'
import { entryOf } from './links.ts'

const link = (url: string) => ({ title: url, type: 'link', url })

it('a dashboard stands at its own entry of the menu, else at the one that its first link leads to', () => {
  const entries = ['fleet', 'tank']
  const links = [
    link('https://tributary.example/d/fleet'),
    link('/d/other'),
    link('/d/tank?from=now-1h'),
    link('/d/fleet'),
  ]
  expect(entryOf({ uid: 'fleet', links }, entries)).toBe('fleet')
  expect(entryOf({ uid: 'compare', links }, entries)).toBe('tank')
  expect(entryOf({ uid: 'compare', links: [link('/d/tank-2')] }, entries)).toBeUndefined()
  expect(entryOf({ uid: 'compare' }, entries)).toBeUndefined()
})
