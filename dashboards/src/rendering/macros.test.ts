import { describe, expect, it } from 'vitest'
import { ALL_VALUE, fillAlias, fillLink, fillQuery, type SelectedVariable } from './macros.ts'
import { inOrder, select } from './variables.ts'

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
})
