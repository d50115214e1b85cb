import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type AdminServer, createAdminServer } from './admin-server.ts'
import { UserError } from './errors.ts'
import { createMetrics } from './metrics.ts'

const { signal } = new AbortController()
const listen = { host: '127.0.0.1', port: 0 }

describe('the admin server', () => {
  let server: AdminServer
  let ready: true | string = true
  const metrics = createMetrics('test')
  const start = async () => {
    const routes = {
      '/status': (query: URLSearchParams) => ({ agent: query.get('agent') }),
      '/broken': () => {
        throw new Error('no such agent')
      },
    }
    server = createAdminServer(listen, { metrics, ready: () => ready, routes })
    await server.start(signal)
  }
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`)
    return { status: response.status, body: await response.text() }
  }
  afterEach(() => server.stop(signal))

  it('answers what every process answers, and what this one adds', async () => {
    await start()
    metrics.counter('letters_total', 'Letters.').inc(3)
    expect(await get('/healthz')).toEqual({ status: 200, body: '{"alive":true}\n' })
    expect(await get('/readyz')).toEqual({ status: 200, body: '{"ready":true}\n' })
    ready = 'the disk is full'
    expect(await get('/readyz')).toEqual({ status: 503, body: '{"ready":false,"reason":"the disk is full"}\n' })
    expect((await get('/metrics')).body).toContain('tributary_letters_total{process="test"} 3')
    expect(await get('/status?agent=north')).toEqual({ status: 200, body: '{"agent":"north"}\n' })
    expect(await get('/broken')).toEqual({ status: 500, body: '{"error":"no such agent"}\n' })
    expect(await get('/nothing')).toEqual({ status: 404, body: '{"error":"there is no /nothing here"}\n' })
    expect((await fetch(`http://127.0.0.1:${server.port}/status`, { method: 'POST' })).status).toBe(405)
  })

  it('outlives a target that is no address', async () => {
    await start()
    const socket = connect(server.port, '127.0.0.1')
    socket.end('GET // HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    const answer = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data))))
    expect(answer).toMatch(/^HTTP\/1\.1 (404|500)/)
    socket.destroy()
    expect((await get('/healthz')).status).toBe(200)
  })

  it('says which setting to change when its port is taken', async () => {
    await start()
    const second = createAdminServer({ ...listen, port: server.port }, { metrics, ready: () => true })
    const error = await second.start(signal).catch((caught) => caught)
    expect(error).toBeInstanceOf(UserError)
    expect(error.message).toBe(`127.0.0.1:${server.port} is in use by another program`)
    expect(error.hint).toContain('change admin.listen in the config')
    await second.stop(signal)
    const elsewhere = createAdminServer({ host: '192.0.2.1', port: 0 }, { metrics, ready: () => true })
    await expect(elsewhere.start(signal)).rejects.toThrow('192.0.2.1 is no address of this machine')
  })
})

it('gives the metric that exists when one is asked for again', () => {
  const metrics = createMetrics('test')
  metrics.counter('drops_total', 'Drops.', ['reason']).inc({ reason: 'full' })
  expect(metrics.counter('drops_total', 'Drops.', ['reason'])).toBe(
    metrics.counter('drops_total', 'Drops.', ['reason']),
  )
})
