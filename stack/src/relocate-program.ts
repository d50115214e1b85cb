/**
 * A program that looks for its files in a folder of the system, although nothing is installed there: the path in the unpacked copy is
 * written over with one of the same length that leads to the folder in which the program runs, and a script starts it there.
 */
import { chmod, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, relative } from 'node:path'

/** Where a process runs, to itself (proc(5)); `/.` makes it as long as need be, by two characters each. */
const HERE = '/proc/self/cwd'

/**
 * @param program path of the unpacked program
 * @param compiledIn folder of the system that the program has in it
 * @param unpacked the same folder among what was unpacked
 * @throws Error when the program does not name the folder, or its name is too short
 */
export async function relocateProgram(program: string, compiledIn: string, unpacked: string): Promise<void> {
  const bytes = await readFile(program)
  if (compiledIn.length < HERE.length || !bytes.includes(compiledIn))
    throw new Error(`${compiledIn} cannot be replaced in ${program}`)
  const path = Buffer.from(`${HERE}${'/.'.repeat(compiledIn.length)}`.slice(0, compiledIn.length))
  for (let at = bytes.indexOf(compiledIn); at >= 0; at = bytes.indexOf(compiledIn, at)) path.copy(bytes, at)
  await rename(program, `${program}.relocated`)
  await writeFile(`${program}.relocated`, bytes)
  await writeFile(
    program,
    `#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd) || exit 1
cd "$here/${relative(dirname(program), unpacked)}" && exec "$here/$(basename "$0").relocated" "$@"
`,
  )
  await chmod(program, 0o755)
}
