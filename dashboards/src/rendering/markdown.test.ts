import { expect, it } from 'vitest'
import { parseInline, parseMarkdown, unknownMarkdown } from './markdown.ts'

it('reads paragraphs, headings and lists', () => {
  const content = '## Clock\nTwo lines\nof one paragraph:\n- first\n- **second**\n  goes on\n\n1. one\n2. two'
  const text = (value: string) => ({ kind: 'text', text: value })
  expect(parseMarkdown(content)).toEqual([
    { kind: 'heading', level: 2, parts: [text('Clock')] },
    { kind: 'paragraph', parts: [text('Two lines of one paragraph:')] },
    { kind: 'list', isOrdered: false, items: [[text('first')], [{ kind: 'bold', text: 'second' }, text(' goes on')]] },
    { kind: 'list', isOrdered: true, items: [[text('one')], [text('two')]] },
  ])
  expect(parseMarkdown('')).toEqual([])
})

it('reads what is inside a line; a link that could do harm is text', () => {
  expect(parseInline('a *b* `c_d` [e](/f?g) 2 * 3 * 4')).toEqual([
    { kind: 'text', text: 'a ' },
    { kind: 'italic', text: 'b' },
    { kind: 'text', text: ' ' },
    { kind: 'code', text: 'c_d' },
    { kind: 'text', text: ' ' },
    { kind: 'link', text: 'e', url: '/f?g' },
    { kind: 'text', text: ' 2 * 3 * 4' },
  ])
  expect(parseInline('[x](javascript:alert(1))')[0]).toEqual({ kind: 'text', text: 'x' })
})

it.each([
  ['<b>bold</b>', 'HTML'],
  ['![x](y.png)', 'an image'],
  ['| a | b |', 'a table'],
  ['```\ncode\n```', 'a block of code'],
  ['> said', 'a quotation'],
  ['- a\n  - b', 'a list in a list'],
  ['a\n\n---\n\nb', 'a rule'],
  ['[x](javascript:y)', 'a link to javascript:y'],
])('%j is not drawn: %s', (content, name) => {
  expect(unknownMarkdown(content)).toContain(name)
})

it('draws 3 < 4, and bold and links', () => {
  expect(unknownMarkdown('3 < 4 and **bold** [link](https://example.org/a_b)\n\n- item')).toEqual([])
})
