import { describe, expect, it } from 'vitest'
import { formatAddress, parseAddress } from './address.ts'

const read = (path: string) => parseAddress(new URL(path, 'http://viewer'))

describe('addresses', () => {
  it('name dashboard, time, refresh, theme and variables', () => {
    expect(
      read('/d/tributary-climate/climate?from=now-1h&to=now&refresh=&theme=light&var-device=a&var-device=b&var-site='),
    ).toEqual({
      uid: 'tributary-climate',
      range: { from: 'now-1h', to: 'now' },
      refresh: '',
      theme: 'light',
      variables: { device: ['a', 'b'] },
    })
  })
  it('may say nothing', () => {
    const nothing = { uid: '', range: undefined, refresh: undefined, theme: undefined, variables: {} }
    expect(read('/')).toEqual(nothing)
    expect(read('/?from=now-1h&theme=pink')).toEqual(nothing)
  })
  it('may name a time and how much around it', () => {
    expect(read('/d/x?time=1700000000000&time.window=3600000').range).toEqual({
      from: '1699998200000',
      to: '1700001800000',
    })
    for (const without of [
      'time=1700000000000',
      'time=noon&time.window=9',
      'time=1&time.window=0',
      'time=&time.window=5',
    ])
      expect(read(`/d/x?${without}`).range, without).toBeUndefined()
  })
  it('are read as they were written', () => {
    const address = {
      uid: 'a b/c',
      range: { from: '1700000000000', to: 'now' },
      refresh: '5s',
      theme: undefined,
      variables: { device: ['p&q', 'r'], site: ['ü'] },
    }
    expect(read(formatAddress(address))).toEqual(address)
  })
})
