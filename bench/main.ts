/** `npm run bench [-- NAME …]`: runs the benchmarks named, or all. Each prints its figures and checks its result. */
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const folder = dirname(fileURLToPath(import.meta.url))
const all = (await readdir(folder))
  .filter((file) => file.endsWith('.bench.ts'))
  .map((file) => file.slice(0, -'.bench.ts'.length))
  .sort()
const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !all.includes(name))
if (unknown.length > 0 || wanted.includes('--help')) {
  console.error(`usage: npm run bench [-- ${all.join(' ')}]`)
  process.exit(unknown.length > 0 && !wanted.includes('--help') ? 2 : 0)
}
for (const name of wanted.length > 0 ? wanted : all) {
  console.log(`\n${name}`)
  const { run } = (await import(pathToFileURL(join(folder, `${name}.bench.ts`)).href)) as {
    run: (print: (line: string) => void) => Promise<void>
  }
  await run((line) => console.log(`  ${line}`))
}
