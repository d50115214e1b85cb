import { contractSchema } from '@tributary/protocol'
import { ConfigError, parseConfig } from '@tributary/runtime'
import { describe, expect, test } from 'vitest'
import { matcher } from './match.ts'
import { rulesSchemaFor } from './rules-file.ts'

const vibration = contractSchema.parse({
  kind: 'vibration',
  version: 1,
  description: 'x',
  interval: '1s',
  fields: { velocity: { type: 'float', label: 'Velocity' } },
  thresholds: [{ field: 'velocity', above: 7.1 }],
})
const schema = rulesSchemaFor(new Map([['vibration', vibration]]), ['people'])
const parse = (yaml: string) => parseConfig('alerts.yaml', yaml, schema, {}).rules

describe('alerts.yaml', () => {
  test('an empty file is no rules', () => {
    expect(parse('')).toEqual([])
  })

  test('is read into rules, with durations in milliseconds', () => {
    const yaml = `
rules:
  - name: bearings
    match: { kind: vibration, device: [pump-*, fan-1], detector: threshold_above_7.1 }
    severity: critical
    for: 5s
    keep_firing_for: 2m
    notify: [people]
  - name: rest
`
    expect(parse(yaml)).toEqual([
      {
        name: 'bearings',
        match: { kind: ['vibration'], device: ['pump-*', 'fan-1'], detector: ['threshold_above_7.1'] },
        severity: 'critical',
        forMs: 5_000,
        keepFiringForMs: 120_000,
        notify: ['people'],
      },
      { name: 'rest', match: {}, severity: undefined, forMs: 0, keepFiringForMs: 30_000, notify: undefined },
    ])
  })

  test('every mistake is named at once, with its place and what to do', () => {
    const yaml = `
rules:
  - { name: "Über!", match: { kind: vibrations } }
  - { name: a, match: { field: speed, detector: threshold_above_9 }, severity: fatal }
  - { name: a, notify: [nobody], for: soon, every: 5s }
  - { match: { sites: plant } }
`
    const messages = (() => {
      try {
        parse(yaml)
        return []
      } catch (error) {
        return error instanceof ConfigError ? error.mistakes.map(({ path, message }) => `${path}: ${message}`) : [error]
      }
    })()
    expect(messages).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^rules\[0\]\.name: must be lower-case letters.*\(got "Über!"\)$/),
        expect.stringMatching(/^rules\[1\]\.severity: .*\(got "fatal"\)$/),
        expect.stringMatching(/^rules\[2\]\.for: must be a duration.*\(got "soon"\)$/),
        'rules[2].every: unknown key',
        'rules[3].match.sites: unknown key',
        expect.stringMatching(/^rules\[3\]\.name: .*missing/),
      ]),
    )
  })

  test('what no contract and no config knows is named too', () => {
    const yaml = `
rules:
  - { name: a, match: { kind: vibrations, field: speed, detector: threshold_above_9 } }
  - { name: a, notify: [nobody] }
`
    expect(() => parse(yaml)).toThrow(
      /rules\[0\]\.match\.kind: must match a kind of the contracts; "vibrations" matches none; did you mean vibration\?[\s\S]*rules\[0\]\.match\.field[\s\S]*rules\[0\]\.match\.detector[\s\S]*rules\[1\]\.name: must be a name that no other rule has[\s\S]*rules\[1\]\.notify: must name notifiers of the config \(people\)/,
    )
  })
})

describe('names that no contract has', () => {
  const climate = contractSchema.parse({
    kind: 'climate',
    version: 1,
    description: 'x',
    interval: '1s',
    fields: { temperature_c: { type: 'float', label: 'T' } },
  })
  const both = new Map([
    ['vibration', vibration],
    ['climate', climate],
  ])
  const mistakes = (match: string, notifiers: readonly string[] | undefined = undefined): string[] => {
    try {
      parseConfig(
        'alerts.yaml',
        `rules: [{ name: a, match: ${match}, notify: [x] }]`,
        rulesSchemaFor(both, notifiers),
        {},
      )
      return []
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      return error.mistakes.map(({ path, message }) => `${path}: ${message}`)
    }
  }

  test.each([
    [
      '{ kind: climat }',
      'match.kind: must match a kind of the contracts; "climat" matches none; did you mean climate?',
    ],
    ['{ field: temprature_c }', '"temprature_c" matches none; did you mean temperature_c?'],
    ['{ kind: climate, field: velocity }', 'match.field: must match a field of climate; "velocity" matches none (got'],
    ['{ kind: climate, detector: threshold_above_7.1 }', 'match.detector: must match a detector of climate;'],
    ['{ kind: climate, detector: agent_unreachable }', 'match.detector: must match a detector of climate;'],
    ['{ detector: threshhold }', 'did you mean threshold?'],
    ['{ kind: boiler }', 'must match a kind of the contracts; "boiler" matches none (got'],
  ])('%s', (match, message) => {
    expect(mistakes(match)).toEqual([expect.stringContaining(message)])
  })

  test.each([
    '{ kind: [climate, vibration], field: velocity }',
    '{ kind: "*", detector: link }',
    '{ kind: climate, detector: [silence, violations, threshold] }',
    '{ detector: gateway_unreachable, device: "*" }',
    '{ kind: cl*, field: temp* }',
  ])('%s is none', (match) => {
    expect(mistakes(match)).toEqual([])
  })

  test('notifiers are looked up where they are known', () => {
    expect(mistakes('{}', ['people'])).toEqual([expect.stringContaining('must name notifiers of the config (people)')])
  })
})

test('a pattern stands for itself, and * for any text', () => {
  const cases: [string, string, boolean][] = [
    ['pump-1', 'pump-1', true],
    ['pump-1', 'pump-12', false],
    ['pump-*', 'pump-12', true],
    ['pump-*', 'pump', false],
    ['*', '', true],
    ['a*c', 'abbc', true],
    ['threshold_above_7.*', 'threshold_above_7.1', true],
    ['threshold_above_7.*', 'threshold_above_71', false],
  ]
  for (const [pattern, name, expected] of cases)
    expect([pattern, name, matcher(pattern)(name)]).toEqual([pattern, name, expected])
})
