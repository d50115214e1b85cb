/**
 * Bundles the agent into one file that runs where there is no `node_modules`: `node agent.cjs --config agent.yaml`.
 * Beside it lie serialport's native parts for Linux on x64, arm64 and arm; the right one is chosen as it starts.
 */
import { cp, mkdir, readFile, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'esbuild'

const here = dirname(fileURLToPath(import.meta.url))
const require = createRequire(import.meta.url)
const PREBUILDS = ['linux-x64', 'linux-arm64', 'linux-arm']

/** serialport looks for its native part one folder above its own file; in the bundle that is the bundle's folder. */
export const nativeBesideBundle: Plugin = {
  name: 'native part beside the bundle',
  setup({ onLoad }) {
    onLoad({ filter: /bindings-cpp[\\/]dist[\\/]serialport-bindings\.js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8')
      const contents = text.replace(/\(0, path_1\.join\)\(__dirname, '\.\.\/'\)/, '__dirname')
      if (contents === text) throw new Error(`${path} no longer looks for its native part as build.ts expects`)
      return { contents, loader: 'js' }
    })
  },
}

/**
 * What is loaded and never used here: MQTT over WebSockets, proxies and browsers' timers, tracing, transports of the log, zod's messages in
 * fifty languages, serialport's parsers and mock, metrics that we do not make. Memory counts on a Pi.
 */
const LEFT_OUT =
  /^(ws|socks|worker-timers|lru-cache|thread-stream|@opentelemetry\/api|@serialport\/parser-.*)$|\/locales\/index\.js$|^\.\/(serialport-mock|lib\/(summary|pushgateway|cluster|defaultMetrics))$/
const leftOut: Plugin = {
  name: 'left out',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: LEFT_OUT }, ({ path }) => ({ path, namespace: 'left-out' }))
    onLoad({ filter: /.*/, namespace: 'left-out' }, () => ({ contents: 'export {}', loader: 'js' }))
  },
}

/** The package `debug`, which MQTT and serialport call for each packet and each read to be told that nobody listens. */
const noDebugging: Plugin = {
  name: 'no debugging',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^debug$/ }, ({ path }) => ({ path, namespace: 'no-debugging' }))
    onLoad({ filter: /.*/, namespace: 'no-debugging' }, () => ({
      contents: `const silent = () => undefined
silent.extend = () => silent
module.exports = () => silent`,
      loader: 'js',
    }))
  },
}

/** mqtt-packet makes 65,536 buffers, one for each number of two bytes, as it writes its first packet: 8 MB for nothing that shows in CPU time. */
export const numbersOnDemand: Plugin = {
  name: 'numbers on demand',
  setup({ onLoad }) {
    onLoad({ filter: /mqtt-packet[\\/]writeToStream\.js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8')
      if (!text.includes("Object.defineProperty(generate, 'cacheNumbers'"))
        throw new Error(`${path} has no setting "cacheNumbers" as build.ts expects`)
      return { contents: `${text}\nmodule.exports.cacheNumbers = false\n`, loader: 'js' }
    })
  },
}

/** serialport's native parts, one folder a platform, to lie beside a bundle. */
export async function copyNativeParts(outputFolder: string): Promise<void> {
  const native = join(dirname(require.resolve('@serialport/bindings-cpp/package.json')), 'prebuilds')
  const beside = join(outputFolder, 'prebuilds')
  await rm(beside, { recursive: true, force: true })
  for (const platform of PREBUILDS) await cp(join(native, platform), join(beside, platform), { recursive: true })
}

/** @returns the path of the bundle */
export async function buildAgent(outputFolder: string): Promise<string> {
  const outfile = join(outputFolder, 'agent.cjs')
  await mkdir(outputFolder, { recursive: true })
  await build({
    entryPoints: [join(here, 'src/main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'eof',
    logLevel: 'warning',
    // The package is a copy of Node's own streams.
    alias: { 'readable-stream': 'node:stream' },
    plugins: [nativeBesideBundle, leftOut, noDebugging, numbersOnDemand],
  })
  await copyNativeParts(outputFolder)
  await cp(join(here, 'agent.example.yaml'), join(outputFolder, 'agent.example.yaml'))
  return outfile
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder = join(here, '../dist/edge-agent')] = process.argv.slice(2)
  process.stdout.write(`${await buildAgent(folder)}\n`)
}
