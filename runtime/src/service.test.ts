import { describe, expect, it } from 'vitest'
import { createLogger } from './logger.ts'
import { runInOrder, type Service } from './service.ts'

const log = createLogger('test', 'silent')
const { signal } = new AbortController()

function parts(failing: Partial<Record<string, Error>> = {}) {
  const events: string[] = []
  const part = (name: string): Service => ({
    name,
    async start() {
      events.push(`start ${name}`)
      if (failing[`start ${name}`]) throw failing[`start ${name}`]
    },
    async stop() {
      events.push(`stop ${name}`)
      if (failing[`stop ${name}`]) throw failing[`stop ${name}`]
    },
  })
  return { events, service: runInOrder('all', [part('spool'), part('broker'), part('forwarder')], log) }
}

describe('services in order', () => {
  it('start forwards and stop backwards, once', async () => {
    const { events, service } = parts()
    await service.start(signal)
    await service.stop(signal)
    await service.stop(signal)
    expect(events).toEqual([
      'start spool',
      'start broker',
      'start forwarder',
      'stop forwarder',
      'stop broker',
      'stop spool',
    ])
  })

  it('are undone when one cannot start, that one too', async () => {
    const { events, service } = parts({ 'start broker': new Error('port in use') })
    await expect(service.start(signal)).rejects.toThrow('port in use')
    expect(events).toEqual(['start spool', 'start broker', 'stop broker', 'stop spool'])
  })

  it('are all stopped although one does not stop cleanly, and say so', async () => {
    const { events, service } = parts({ 'stop broker': new Error('stuck') })
    await service.start(signal)
    await expect(service.stop(signal)).rejects.toThrow('all: 1 parts did not stop cleanly')
    expect(events.at(-1)).toBe('stop spool')
  })
})
