import { expect, test } from 'vitest'
import { siteViewOf, siteViewSchema } from './site-view-config.ts'

const gateway = { gateway: 'gw-1', spool: { folder: '/var/spool/gw' } }
const of = (section: object) => siteViewOf(siteViewSchema.parse(section), gateway, '/etc/tributary/gateway.yaml')

test('nothing said means this machine alone, a folder beside the spool, and an agent named after the gateway', () =>
  expect(of({})).toEqual({
    listen: { host: '127.0.0.1', port: 1880 },
    tap: { host: '127.0.0.1', port: 9605 },
    tls: undefined,
    folder: '/var/spool/gw-site-view',
    contracts: undefined,
    agent: 'gw-1-site',
  }))

test('paths are taken from the folder of the config', () =>
  expect(of({ folder: 'site', contracts: '../contracts', tls: { cert: 'a.crt', key: 'a.key' } })).toMatchObject({
    folder: '/etc/tributary/site',
    contracts: '/etc/contracts',
    tls: { cert: '/etc/tributary/a.crt', key: '/etc/tributary/a.key' },
  }))

test('the tap is for this machine alone, whatever the page is', () => {
  expect(siteViewSchema.safeParse({ listen: '0.0.0.0:443', tap: '[::1]:9605' }).success).toBe(true)
  for (const tap of ['0.0.0.0:9605', '192.0.2.1:9605', '127.0.0.1.example.org:9605', '[::]:9605'])
    expect(siteViewSchema.safeParse({ tap }).error?.issues[0]?.message, tap).toContain('this machine alone')
})

test('a long name of a gateway still gives a name for the agent', () => {
  const long = { ...gateway, gateway: 'g'.repeat(64) }
  const { agent } = siteViewOf(siteViewSchema.parse({}), long, '/gateway.yaml')
  expect(siteViewSchema.safeParse({ agent }).success).toBe(true)
  expect(siteViewSchema.safeParse({ agent: 'No Name' }).success).toBe(false)
})
