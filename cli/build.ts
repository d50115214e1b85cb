/**
 * The shipped bundles: `dist/edge-agent/` runs alone on a Pi; `dist/tributary/` is the whole command. Nothing else is needed
 * beside Node: native parts (serialport's) are copied in.
 */
import { mkdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildAgent } from '@tributary/edge-agent/build'
import { build } from 'esbuild'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const dist = join(root, 'dist')
const version = (JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }).version

await rm(dist, { recursive: true, force: true })
await buildAgent(join(dist, 'edge-agent'))

const folder = join(dist, 'tributary')
await mkdir(folder, { recursive: true })
await build({
  entryPoints: [join(root, 'cli', 'src', 'main.ts')],
  outfile: join(folder, 'tributary.mjs'),
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  minifySyntax: true,
  legalComments: 'none',
  logLevel: 'warning',
  define: { 'process.env.TRIBUTARY_VERSION': JSON.stringify(version) },
  // CommonJS packages in the bundle expect these.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; import { dirname as __dirnameOf } from 'node:path'; import { fileURLToPath as __pathOf } from 'node:url'; const require = __createRequire(import.meta.url); const __filename = __pathOf(import.meta.url); const __dirname = __dirnameOf(__filename);",
  },
  external: ['serialport', 'koffi', 'esbuild'],
})
for (const file of ['edge-agent/agent.cjs', 'tributary/tributary.mjs']) {
  const { size } = await stat(join(dist, file))
  console.log(`dist/${file}  ${(size / 1024).toFixed(0)} KiB`)
}
