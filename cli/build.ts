/**
 * The shipped bundles: `dist/edge-agent/` runs alone on a Pi; `dist/tributary/` is the whole command. Nothing else is needed
 * beside Node: native parts (serialport's) are copied in.
 */
import { cp, mkdir, rm, stat } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { docsFolder, provisioningFolder, writeAssets } from '@tributary/dashboards'
import { buildAgent, copyNativeParts, nativeBesideBundle, numbersOnDemand } from '@tributary/edge-agent/build'
import { build } from 'esbuild'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** The whole command with all that it needs, in a folder. @returns the path of the program */
export async function buildCommand(folder: string): Promise<string> {
  const program = join(folder, 'tributary.mjs')
  await mkdir(folder, { recursive: true })
  await build({
    entryPoints: [join(root, 'cli', 'src', 'main.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    minifySyntax: true,
    legalComments: 'none',
    logLevel: 'warning',
    // CommonJS packages in the bundle expect these.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; import { dirname as __dirnameOf } from 'node:path'; import { fileURLToPath as __pathOf } from 'node:url'; const require = __createRequire(import.meta.url); const __filename = __pathOf(import.meta.url); const __dirname = __dirnameOf(__filename);",
    },
    plugins: [nativeBesideBundle, numbersOnDemand],
    // koffi is for simulated serial ports alone, esbuild for the viewer in a checkout.
    external: ['koffi', 'esbuild', 'bufferutil', 'utf-8-validate'],
  })
  await copyNativeParts(folder)
  await writeAssets(join(folder, 'viewer'))
  await cp(join(root, 'contracts'), join(folder, 'contracts'), { recursive: true })
  await cp(join(root, 'firmware-sim', 'scenarios'), join(folder, 'scenarios'), { recursive: true })
  await cp(provisioningFolder, join(folder, 'provisioning'), { recursive: true })
  const isPage = async (path: string) => path.endsWith('.md') || path === docsFolder
  await cp(docsFolder, join(folder, 'docs'), { recursive: true, filter: isPage })
  return program
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const dist = join(root, 'dist')
  await rm(dist, { recursive: true, force: true })
  const files = [await buildAgent(join(dist, 'edge-agent')), await buildCommand(join(dist, 'tributary'))]
  for (const file of files) console.log(`${relative(root, file)}  ${((await stat(file)).size / 1024).toFixed(0)} KiB`)
}
