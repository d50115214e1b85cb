import { describe, expect, it } from 'vitest'
import { nameOf, settingsOf, shown, valueColour } from './field-config.ts'
import { formatValue } from './units.ts'
import { mappingOf } from './value-mappings.ts'

describe('units', () => {
  it.each([
    [21.456, 'celsius', 1, '21.5 °C'],
    [48.2, 'percent', 1, '48.2%'],
    [1013.25, 'pressurehpa', 2, '1013.25 hPa'],
    [1850, 'watt', 1, '1.9 kW'],
    [640, 'watt', 1, '640.0 W'],
    [-2_500_000, 'watt', 1, '-2.5 MW'],
    [680_400, 'short', undefined, '680 K'],
    [12, 'short', undefined, '12'],
    [680_400, 'locale', undefined, '680\u202f400'],
    [-1_234_567, 'locale', undefined, '-1\u202f234\u202f567'],
    [999, 'locale', undefined, '999'],
    [1536, 'bytes', undefined, '1.50 KiB'],
    [512, 'bytes', undefined, '512 B'],
    [412_000_000, 'decbytes', undefined, '412 MB'],
    [5, 's', 1, '5.0 s'],
    [90, 's', undefined, '1.5 min'],
    [1_500, 'ms', undefined, '1.5 s'],
    [2.5, 'suffix: mm/s', 3, '2.500 mm/s'],
    [-0.001, 'none', 1, '0.0'],
    [0.000123, 'none', undefined, '0.000123'],
    [7, 'unknown', undefined, '7'],
  ])('%d as %s with %s decimals is %s', (value, unit, decimals, expected) => {
    const { text, suffix } = formatValue(value, unit, decimals, 0)
    expect(text + suffix).toBe(expected)
  })
  it.each([
    [200, 'now'],
    [12_400, '12 s ago'],
    [125_000, '2 min ago'],
    [7_300_000, '2 h ago'],
    [200_000_000, '2 d ago'],
    [-5_000, 'in 5 s'],
  ])('%i ms ago is "%s"', (ageMs, expected) => {
    expect(formatValue(1_000_000_000 - ageMs, 'dateTimeFromNow', undefined, 1_000_000_000).text).toBe(expected)
  })
})

describe('field configuration', () => {
  const steps = [
    { value: null, color: '#00ff00' },
    { value: 1, color: 'red' },
  ]
  const override = (id: string, options: unknown, unit: string) => ({
    matcher: { id, options },
    properties: [{ id: 'unit', value: unit }],
  })
  it('colours by the highest step that is reached', () => {
    const settings = { color: { mode: 'thresholds' }, thresholds: { steps } }
    const colours = [0, 0.9, 1, 5].map((value) => valueColour(value, settings, 'dark'))
    expect(colours).toEqual(['#00ff00', '#00ff00', '#f2706b', '#f2706b'])
    expect(valueColour('text', settings, 'dark')).toBeUndefined()
  })
  it('colours by the place between the extremes', () => {
    const settings = { color: { mode: 'continuous-YlBl' }, min: 0 }
    expect(valueColour(0, settings, 'dark', [0, 10])).toBe('#fff899')
    expect(valueColour(10, settings, 'dark', [0, 10])).toBe('#1f60c4')
    expect(valueColour(99, settings, 'dark', [0, 10])).toBe('#1f60c4')
  })
  it('lets overrides win, by name or title, pattern or query', () => {
    const config = {
      defaults: { unit: 'short', custom: { lineWidth: 2 } },
      overrides: [
        {
          matcher: { id: 'byName', options: 'Title' },
          properties: [
            { id: 'unit', value: 'celsius' },
            { id: 'custom.width', value: 9 },
          ],
        },
        override('byRegexp', '/upper$/i', 'volt'),
        override('byRegexp', 'pump-.', 'amp'),
        override('byFrameRefID', 'C', 'watt'),
      ],
    }
    expect(settingsOf(config, ['name', 'Title'])).toEqual({ unit: 'celsius', custom: { lineWidth: 2, width: 9 } })
    expect(settingsOf(config, ['name'])).toEqual(config.defaults)
    expect(settingsOf(undefined, [])).toEqual({})
    const unit = (name: string, refId = 'A') => settingsOf(config, [name], refId).unit
    expect([unit('x UPPER'), unit('x upper y'), unit('pump-1'), unit('pump-12'), unit('any', 'C')]).toEqual([
      'volt',
      'short',
      'amp',
      'short',
      'watt',
    ])
  })
  it('names a series by its labels', () => {
    const series = { name: 'own', labels: { device: 'pump-1' } }
    expect(nameOf(series, {})).toBe('own')
    expect(nameOf(series, { displayName: '${__field.labels.device} (${__series.name})' })).toBe('pump-1 (own)')
    expect(nameOf(series, { displayName: '${__field.labels.site}' })).toBe('')
  })
  it('maps values to words and colours; says what stands for nothing', () => {
    const settings = {
      mappings: [{ type: 'value' as const, options: { true: { text: 'on', color: 'green' } } }],
      noValue: 'none',
    }
    expect(shown(true, settings, 0)).toEqual({ text: 'on', suffix: '' })
    expect(valueColour(true, settings, 'dark')).toBe('#6fbf8b')
    expect(shown(false, settings, 0)).toEqual({ text: 'false', suffix: '' })
    expect(shown(null, settings, 0)).toEqual({ text: 'none', suffix: '' })
    expect(shown(2, { color: { mode: 'thresholds' }, thresholds: { steps } }, 0)).toMatchObject({ text: '2' })
  })
  it('takes the first mapping that fits: value, range, special', () => {
    const mappings = [
      { type: 'special' as const, options: { match: 'null', result: { text: 'silent', color: 'purple' } } },
      { type: 'range' as const, options: { from: 0, to: 10, result: { text: 'low' } } },
      { type: 'value' as const, options: { 5: { text: 'five' }, 11: { text: 'eleven' } } },
      { type: 'special' as const, options: { match: 'empty', result: { text: 'nothing' } } },
    ]
    const words = [null, 5, 10, 10.5, 11, '', 'x'].map((value) => mappingOf(mappings, value)?.text)
    expect(words).toEqual(['silent', 'low', 'low', undefined, 'eleven', 'nothing', undefined])
    expect(shown(null, { mappings, noValue: 'none' }, 0).text).toBe('silent')
    expect(valueColour(null, { mappings }, 'light')).toBe('#7c4fd0')
  })
})
