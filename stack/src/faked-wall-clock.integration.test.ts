import { execFile } from 'node:child_process'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { systemClock } from '@tributary/runtime'
import { expect, test } from 'vitest'
import { fakedWallClock, findLibfaketime } from './servers.ts'

test("a process under libfaketime has the wall clock that the file says, and this boot's monotonic clock", async () => {
  const file = join(await mkdtemp(join(tmpdir(), 'tributary-faketime-')), 'offset')
  const environment = fakedWallClock(await findLibfaketime(), file)
  const clocks = async () => {
    const print = 'console.log(Date.now(), process.hrtime()[0])'
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', print], {
      env: { ...process.env, ...environment },
    })
    const [wallMs, monotonicSeconds] = stdout.trim().split(' ').map(Number) as [number, number]
    expect(Math.abs(monotonicSeconds - systemClock.monotonicMs() / 1_000)).toBeLessThan(10)
    return wallMs - systemClock.wallMs()
  }
  for (const days of [365, -365]) {
    await writeFile(file, `${days > 0 ? '+' : ''}${days}d`)
    expect(Math.abs((await clocks()) - days * 86_400_000)).toBeLessThan(10_000)
  }
})
