/** The browser half of the viewer: bundled from its sources when they are here, else as `npm run build:viewer` left it. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { UserError } from '@tributary/runtime'

export interface Asset {
  readonly body: Buffer
  readonly type: string
  readonly etag: string
}
/** File name → file. */
export type Assets = ReadonlyMap<string, Asset>

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
}
const sources = fileURLToPath(new URL('../viewer/browser/', import.meta.url))
/** Beside the one file that a shipped program is, or in the package. */
const besideBundle = fileURLToPath(new URL('./viewer/', import.meta.url))
export const builtAssetsFolder = existsSync(besideBundle)
  ? besideBundle
  : fileURLToPath(new URL('../dist/viewer/', import.meta.url))

let bundled: Promise<Assets> | undefined

/** @param folder prebuilt files, instead of the sources or `dist/viewer` */
export async function loadAssets(folder?: string): Promise<Assets> {
  if (folder) return readAssets(folder)
  if (existsSync(join(sources, 'main.ts')) && hasBundler()) {
    bundled ??= bundleAssets()
    return bundled
  }
  return readAssets(builtAssetsFolder)
}

export async function writeAssets(folder: string): Promise<Assets> {
  const assets = await bundleAssets()
  await mkdir(folder, { recursive: true })
  for (const [name, { body }] of assets) await writeFile(join(folder, name), body)
  return assets
}

const require = createRequire(import.meta.url)
function hasBundler(): boolean {
  try {
    require.resolve('esbuild')
    return true
  } catch {
    return false
  }
}

async function readAssets(folder: string): Promise<Assets> {
  const names = await readdir(folder).catch((): string[] => [])
  if (!names.includes('index.html'))
    throw new UserError(`the viewer's files are not in ${folder}`, {
      hint: 'run npm run build:viewer -w @tributary/dashboards',
    })
  return new Map(
    await Promise.all(names.map(async (name) => [name, asset(name, await readFile(join(folder, name)))] as const)),
  )
}

async function bundleAssets(): Promise<Assets> {
  const { build } = await import('esbuild')
  const { outputFiles } = await build({
    entryPoints: {
      app: join(sources, 'main.ts'),
      style: join(sources, 'style.css'),
      docs: join(sources, 'docs.css'),
    },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    outdir: '/',
    external: ['/assets/*'],
    logLevel: 'silent',
  })
  const files = new Map<string, Asset>()
  for (const file of outputFiles) {
    const name = file.path.slice(1)
    files.set(name, asset(name, Buffer.from(file.contents)))
  }
  const inter = (path: string) => readFile(require.resolve(`@fontsource-variable/inter/${path}`))
  files.set('inter.woff2', asset('inter.woff2', await inter('files/inter-latin-wght-normal.woff2')))
  files.set('inter-licence.txt', asset('inter-licence.txt', await inter('LICENSE')))
  for (const name of ['index.html', 'icon.svg']) files.set(name, asset(name, await readFile(join(sources, name))))
  return files
}

const asset = (name: string, body: Buffer): Asset => ({
  body,
  type: TYPES[extname(name)] ?? 'application/octet-stream',
  etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`,
})
