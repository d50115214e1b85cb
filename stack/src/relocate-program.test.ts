import { execFileSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { relocateProgram } from './relocate-program.ts'

let folder = ''
afterEach(() => rm(folder, { recursive: true, force: true }))

/** A program that reads a file from a folder of the system, twice, and says its arguments. */
async function unpackedProgram(compiledIn: string): Promise<{ program: string; unpacked: string }> {
  folder = await mkdtemp(join(tmpdir(), 'tributary-relocate-'))
  const program = join(folder, 'pack age', 'usr', 'bin', 'server')
  const unpacked = join(folder, 'pack age', compiledIn)
  await mkdir(join(program, '..'), { recursive: true })
  await mkdir(unpacked, { recursive: true })
  await writeFile(join(unpacked, 'default.txt'), 'found ')
  await writeFile(program, `#!/bin/sh\ncat ${compiledIn}/default.txt "${compiledIn}/default.txt"\necho "$@"\n`)
  await chmod(program, 0o755)
  return { program, unpacked }
}

test.each(['/usr/share/some/server', '/usr/share/some/servers'])(
  'finds its files where it was unpacked, and where that is moved: %s',
  async (compiledIn) => {
    const { program, unpacked } = await unpackedProgram(compiledIn)
    await relocateProgram(program, compiledIn, unpacked)
    expect(execFileSync(program, ['--an', 'argument'], { encoding: 'utf8' })).toBe('found found --an argument\n')
    await rename(join(folder, 'pack age'), join(folder, 'elsewhere'))
    const moved = program.replace('pack age', 'elsewhere')
    expect(execFileSync(moved, { encoding: 'utf8', cwd: '/' })).toBe('found found \n')
  },
)

test('a program that does not name the folder, or one too short to be replaced, is left as it is', async () => {
  const { program, unpacked } = await unpackedProgram('/usr/share/x')
  await expect(relocateProgram(program, '/usr/share/x', unpacked)).rejects.toThrow('cannot be replaced')
  await expect(relocateProgram(program, '/usr/share/another/folder', unpacked)).rejects.toThrow('cannot be replaced')
})
