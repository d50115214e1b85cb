import { ConfigError, parseConfig } from '@tributary/runtime'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { clip, escapeChat, escapeHtml, escapeTopicLevel, oneLine } from './escape.ts'
import { exampleTransition } from './example-notification.ts'
import { factsOf } from './facts.ts'
import { PLACEHOLDERS, renderTemplate, template, templateMistake } from './template.ts'
import { wordsOf } from './wording.ts'

const facts = factsOf(
  { transition: exampleTransition({ expected: 4.25, lower: 3 }), reason: 'escalated' },
  'https://grafana.example.org/sub/',
)

test('each placeholder says what it names', () => {
  const said = Object.fromEntries(PLACEHOLDERS.map((name) => [name, renderTemplate(`{{ ${name} }}`, facts)]))
  expect(said).toEqual({
    device: 'pump-1',
    site: 'plant',
    name: 'Feed pump',
    line: '2',
    location: 'north hall',
    place: 'plant, line 2, north hall',
    kind: 'vibration',
    field: 'velocity_rms_mm_s',
    label: 'Vibration velocity (RMS)',
    detector: 'threshold_above_7.1',
    rule: 'vibration.velocity_rms_mm_s.threshold_above_7.1',
    severity: 'critical',
    state: 'firing',
    reason: 'escalated',
    message: 'Vibration velocity (RMS): 7.900 mm/s, 0.800 above the limit 7.1',
    value: '7.9',
    unit: 'mm/s',
    expected: '4.25',
    lower: '3',
    upper: '7.1',
    since: '2026-01-31 14:03:20 UTC',
    at: '2026-01-31 14:03:20 UTC',
    duration: '0 ms',
    episode: '0123456789abcdef',
    link: `https://grafana.example.org/sub/d/tributary-vibration?from=${Date.UTC(2026, 0, 31, 13, 48, 20)}&to=${Date.UTC(2026, 0, 31, 14, 18, 20)}&var-site=plant&var-device=pump-1`,
  })
})

test('what is not known is a dash; what was not told, or became null in JSON, is none', () => {
  const transition = exampleTransition({ value: Number.NaN, upper: null })
  const untold = factsOf({ transition: JSON.parse(JSON.stringify(transition)) }, '')
  expect(renderTemplate('{{value}} of {{upper}}, {{link}}', untold)).toBe('– of –, –')
  expect(wordsOf({ transition }, {}).text).not.toMatch(/NaN|null|Value|Expected/)
})

test('of a whole site: no device, and the dashboard of all', () => {
  const transition = exampleTransition({ device: '*', kind: '', field: '', value: 12 })
  expect(factsOf({ transition }, 'http://viewer:3001')).toMatchObject({
    device: '',
    link: expect.stringMatching(/^http:\/\/viewer:3001\/d\/tributary-fleet\?from=\d+&to=\d+&var-site=plant$/),
  })
})

test('an escalated alert says so first; a digest of several sites names none and leads to the dashboard of all', () => {
  expect(wordsOf({ transition: exampleTransition(), reason: 'escalated' }, {}).title).toMatch(
    /^ESCALATED CRITICAL pump-1 at/,
  )
  const transition = exampleTransition({ site: '*', device: '*', kind: '', field: '', message: '3 notifications' })
  const { title, facts: said } = wordsOf({ transition, reason: 'digest' }, { dashboardUrl: 'https://g' })
  expect(title).toMatch(/^CRITICAL: 3 notifications \(/)
  expect(said.link).not.toContain('var-')
})

test('the dashboard is shown from 15 minutes before the beginning to 15 after the end', () => {
  const endMs = Date.UTC(2026, 1, 2)
  const { link } = factsOf({ transition: exampleTransition({ state: 'resolved', atMs: endMs }) }, 'https://g')
  expect(new URL(link).searchParams.get('from')).toBe(String(Date.UTC(2026, 0, 31, 13, 48, 20)))
  expect(new URL(link).searchParams.get('to')).toBe(String(endMs + 15 * 60_000))
})

test('mistakes are found in the config', () => {
  expect(templateMistake('{{ device }}: {{value}} {{unit}} }')).toBeUndefined()
  expect(templateMistake('{{devise}}')).toMatch(/^\{\{devise\}\} is not known; there are device, site, /)
  expect(templateMistake('{{constructor}}')).toMatch(/not known/)
  for (const text of ['{{device', 'device}}', '{{}}', '{{device | upper}}', '{{#if device}}'])
    expect(templateMistake(text), text).toMatch(/a name between/)
  expect(() => parseConfig('x', '{{device}} x', template(10), {})).toThrow(ConfigError)
  expect(() => parseConfig('x', 'is much too long', template(10), {})).toThrow('must be at most 10 characters')
})

test('whatever a device, a registry or a contract says: it stays where it was put', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom(
      '{{link}}',
      '<!channel>',
      '@channel',
      '</td><script>',
      '\r\nBcc: x',
      '#',
      '+',
      '$SYS/',
      '\u202e',
      '&lt;',
    ),
  )
  fc.assert(
    fc.property(hostile, hostile, hostile, (name, label, message) => {
      const transition = exampleTransition({ label, message, place: { name, line: label, location: message } })
      const said = factsOf({ transition }, '')
      for (const fact of Object.values(said)) expect(fact).not.toMatch(/[\p{Cc}\u2028\u2029\u202a-\u202e]/u)
      // What is put in is not looked at for placeholders again.
      expect(renderTemplate('{{name}}|{{label}}', said, (fact) => fact)).toBe(`${said.name}|${said.label}`)
      expect(escapeHtml(said.name)).not.toMatch(/[<>"']|&(?!(amp|lt|gt|quot|#39);)/)
      expect(escapeChat(said.label)).not.toMatch(/[<>]|&(?!(amp|lt|gt);)|@\w|\]\(/)
      expect(escapeTopicLevel(said.name)).toMatch(/^[^/+#$\0]+$/)
      const { title } = wordsOf({ transition }, { title: '{{name}} {{message}}' })
      expect(title).toBe(oneLine(title))
      expect(title.length).toBeLessThanOrEqual(250)
      expect(wordsOf({ transition }, {}).text.split('\n').length).toBeLessThanOrEqual(11)
    }),
  )
})

test('long texts are clipped, and no character is halved', () => {
  expect(clip('abcdef', 6)).toBe('abcdef')
  expect(clip('abcdef', 5)).toBe('abcd…')
  expect(clip('ab😀def', 4)).toBe('ab…')
  const { title, text } = wordsOf({ transition: exampleTransition({ message: 'x'.repeat(10_000) }) }, {})
  expect([title.length, text.length]).toEqual([250, 3_000])
})
