import { expect, test } from 'vitest'
import { parseRequeueSubject, requeueSubject, settledSubject, telemetrySubject } from './addresses.ts'
import type { DeadLetter } from './dead-letter.ts'
import { requeueRequest } from './requeue-request.ts'

const letter: DeadLetter = {
  ...{ id: 'pi-1/0123456789abcdef/1/e0', stage: 'edge', reason: 'not_json', detail: '', site: 'site-1', agent: 'pi-1' },
  ...{ epoch: '0123456789abcdef', sequence: 1, device: '', kind: '', field: '', timeMs: 0, refusedAtMs: 0 },
  ...{ readingCount: 0, original: '', originalBytes: 0 },
}

test('any letter that the processor makes fits into a request', () => {
  for (const change of [
    {},
    { requeued: 3 },
    { original: Buffer.alloc(64 * 1024, 7).toString('base64'), originalBytes: 1e6 },
  ])
    expect(
      requeueRequest.safeParse({ request: 'r', action: 'drop', letter: { ...letter, ...change } }).error,
    ).toBeUndefined()
  for (const change of [{ epoch: 'x' }, { stage: 'spool' }, { original: 'not base64!' }, { sequence: 1.5 }])
    expect(requeueRequest.safeParse({ request: 'r', action: 'drop', letter: { ...letter, ...change } }).success).toBe(
      false,
    )
})

test('its subject is one of the partition of its agent, and no batch has it', () => {
  expect(parseRequeueSubject(requeueSubject('site-1', 'pi-1'))).toMatchObject({ site: 'site-1', agent: 'pi-1' })
  expect(parseRequeueSubject(telemetrySubject('site-1', 'pi-1'))).toBeUndefined()
  expect(parseRequeueSubject('telemetry.v1.3.requeue')).toBeUndefined()
  expect(settledSubject('no name')).toBe('deadletter.v1.settled.unknown')
})
