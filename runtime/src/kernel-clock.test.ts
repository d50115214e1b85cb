import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { isPlausibleTime, readKernelClock } from './kernel-clock.ts'

const path = process.env['PATH']
afterEach(() => {
  process.env['PATH'] = path
})

/** A PATH on which these programs are all there is. */
function only(programs: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-kernel-clock-'))
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(folder, name), 0o755)
  }
  process.env['PATH'] = folder
  return folder
}
const TRACKING = 'C0A80101,192.168.1.1,3,1782910000.1,-0.000012,0.00001,0.0001,-1.2,0.0,0.01,0.02,0.001,64.2'

test.each([
  ['timedatectl knows', { timedatectl: 'echo yes', chronyc: 'echo x,Not synchronised' }, 'synchronised'],
  ['timedatectl knows better', { timedatectl: 'echo no' }, 'not synchronised'],
  ['no systemd, but chrony', { timedatectl: 'exit 1', chronyc: `echo ${TRACKING},Normal` }, 'synchronised'],
  ['chrony alone', { chronyc: `echo "${TRACKING},Not synchronised"` }, 'not synchronised'],
  ['nobody knows', { timedatectl: 'echo "Failed to connect to bus" >&2; exit 1' }, 'unknown'],
  ['nobody there', {}, 'unknown'],
])('%s', async (_, programs, expected) => {
  const folder = only(programs)
  expect(await readKernelClock(join(folder, 'synchronized'))).toBe(expected)
})

test("systemd-timesyncd's mark counts where nobody can be asked", async () => {
  const alone = only({ timedatectl: 'exit 1' })
  writeFileSync(join(alone, 'synchronized'), '')
  expect(await readKernelClock(join(alone, 'synchronized'))).toBe('synchronised')
  const set = only({ timedatectl: 'echo no' })
  writeFileSync(join(set, 'synchronized'), '')
  expect(await readKernelClock(join(set, 'synchronized')), 'somebody has set the clock since').toBe('not synchronised')
})

test('1970 and the next century are no time to have taken a reading', () => {
  expect([0, Date.UTC(2024, 11, 31), Date.UTC(2026, 5, 1), Date.UTC(2120, 0, 1)].map(isPlausibleTime)).toEqual([
    false,
    false,
    true,
    false,
  ])
})
