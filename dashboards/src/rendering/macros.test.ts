import { describe, expect, it } from 'vitest'
import { dashboardLinkUrl, fillLink, isSafeUrl } from './links.ts'
import { ALL_VALUE, fillAlias, fillQuery, fillText, type SelectedVariable } from './macros.ts'
import { inOrder, optionName, ownOptions, select } from './variables.ts'

const variable = (more: Partial<SelectedVariable>): SelectedVariable => ({
  name: 'device',
  values: ['a'],
  allValue: undefined,
  options: ['a', 'b'],
  isPattern: true,
  ...more,
})
const fill = (query: string, ...variables: SelectedVariable[]) =>
  fillQuery(query, { range: { fromMs: 1_000, toMs: 2_000 }, intervalMs: 10_000, variables })

describe('queries', () => {
  it('are filled with time and interval', () => {
    expect(fill('WHERE $timeFilter AND $__interval_ms < 5 GROUP BY time($__interval)')).toBe(
      'WHERE time >= 1000ms and time <= 2000ms AND 10000 < 5 GROUP BY time(10s)',
    )
  })
  it.each([
    ['one value', { values: ['pump-1'] }, '/^pump-1$/'],
    ['several', { values: ['a', 'b'] }, '/^(a|b)$/'],
    ['what a pattern would misread', { values: ['a.b/c'] }, '/^a\\.b\\/c$/'],
    ['all, as the dashboard says', { values: [ALL_VALUE], allValue: '.*' }, '/^.*$/'],
    ['all, one by one', { values: [ALL_VALUE] }, '/^(a|b)$/'],
  ])('take %s in a pattern', (_, more, expected) => {
    for (const reference of ['$device', '${device}', '${device:regex}', '[[device]]'])
      expect(fill(`/^${reference}$/`, variable(more))).toBe(expected)
  })
  it('leave a name alone that nobody knows, and do not take a part of a name for another', () => {
    expect(fill('$devices $device', variable({}))).toBe('$devices a')
  })
  it('take a plain variable as it is', () => {
    expect(fill('$device', variable({ isPattern: false, values: ['a.b'] }))).toBe('a.b')
  })
})

describe('aliases and links', () => {
  it('name a series by its tags', () => {
    const series = { measurement: 'climate', column: 'mean', tags: { device: 'thermometer-1' } }
    expect(fillAlias('$tag_device', series)).toBe('thermometer-1')
    expect(fillAlias('[[tag_device]] $col of $m $tag_none', series)).toBe('thermometer-1 mean of climate ')
  })
  it('carry the row, the time and the variables, encoded', () => {
    const url = '/d/x?var-device=${__data.fields.device}&${__url_time_range}&site=$site'
    const rawRange = { from: 'now-1h', to: 'now' }
    const variables = [variable({ name: 'site', values: ['a b'], isPattern: false })]
    expect(fillLink(url, { row: { device: 'p&q' }, rawRange, variables })).toBe(
      '/d/x?var-device=p%26q&from=now-1h&to=now&site=a%20b',
    )
  })
  it('lead on from a series, with every selected value', () => {
    const context = {
      rawRange: { from: 'now-1h', to: 'now' },
      variables: [variable({ values: ['a', 'b&c'] }), variable({ name: 'site', values: [ALL_VALUE], allValue: '.*' })],
      series: { name: 'Temperature', labels: { device: 'thermometer-1' } },
      value: { raw: 21.456, text: '21.5 °C', timeMs: 1_700_000_000_000 },
    }
    const fill = (url: string) => fillLink(url, context)
    expect(fill('/d/x?var-device=${__field.labels.device}&at=${__value.time}')).toBe(
      '/d/x?var-device=thermometer-1&at=1700000000000',
    )
    expect(fill('?v=${__value.raw}&n=${__series.name}&none=${__data.fields.site}')).toBe(
      '?v=21.456&n=Temperature&none=',
    )
    expect(fill('?${device:queryparam}&${site:queryparam}')).toBe('?var-device=a&var-device=b%26c&var-site=%24__all')
    expect(fill('?${__all_variables}')).toBe(fill('?${device:queryparam}&${site:queryparam}'))
    expect(fill('?${unknown}')).toBe('?${unknown}')
    const link = { title: 'L', type: 'link', url: '/d/y', keepTime: true, includeVars: true }
    expect(dashboardLinkUrl(link, context)).toBe(`/d/y?from=now-1h&to=now&${fill('${__all_variables}').slice(0)}`)
  })
  it.each([
    ['https://tributary.example/runbook#clock', true],
    ['/d/x?y', true],
    ['javascript:alert(1)', false],
    [' javascript:alert(1)', false],
    ['//evil.example/', false],
    ['data:text/html,x', false],
  ])('%s may be followed: %s', (url, isSafe) => {
    expect(isSafeUrl(url)).toBe(isSafe)
  })
})

describe('texts', () => {
  it('name what is selected', () => {
    const text = (more: Partial<SelectedVariable>) => fillText('Device $device: ${device:csv}', [variable(more)])
    expect(text({ values: ['a', 'b'] })).toBe('Device a + b: a,b')
    expect(text({ values: [ALL_VALUE] })).toBe('Device All: a,b')
    expect(fillText('costs $5', [])).toBe('costs $5')
  })
})

describe('variables', () => {
  const device = {
    name: 'device',
    multi: true,
    includeAll: true,
    query: 'SHOW … /^$site$/',
    current: { value: ['$__all'] },
  }
  const site = { name: 'site', multi: true, includeAll: true, query: 'SHOW …' }

  it('come after those that they depend on, also when those go in circles', () => {
    expect(inOrder([device, site]).map((v) => v.name)).toEqual(['site', 'device'])
    expect(inOrder([device, { ...site, query: '$device' }]).map((v) => v.name)).toEqual(['site', 'device'])
  })
  it('start with the default, follow the address, and keep a device that is silent', () => {
    expect(select(device, [], ['a', 'b']).values).toEqual([ALL_VALUE])
    expect(select(device, ['All'], ['a', 'b']).values).toEqual([ALL_VALUE])
    expect(select(device, ['b'], ['a', 'b']).values).toEqual(['b'])
    expect(select(device, ['gone'], ['a', 'b']).values).toEqual(['gone'])
    expect(select({ name: 'x' }, [], ['a', 'b']).values).toEqual(['a'])
    expect(select({ name: 'x' }, ['b', 'a'], ['a', 'b']).values).toEqual(['b'])
  })
  it('take a text as it is written, and an option by its value', () => {
    const text = { name: 'search', type: 'textbox', query: 'pump' }
    expect(select(text, [], ownOptions(text) ?? []).values).toEqual(['pump'])
    expect(select(text, ['a.b'], ['pump'])).toMatchObject({ values: ['a.b'], isPattern: false })
    const custom = { name: 'offset', type: 'custom', query: 'UTC : 0, Berlin : 2,5' }
    expect(ownOptions(custom)).toEqual(['0', '2', '5'])
    expect(['0', '2', '5'].map((value) => optionName(custom, value))).toEqual(['UTC', 'Berlin', '5'])
  })
})
