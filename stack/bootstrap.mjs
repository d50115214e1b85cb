/**
 * What `npm start`, `npm test`, `npm run check|chaos|bench|build|screenshots` run first: plain JavaScript without dependencies, so that it works in a
 * checkout where nothing is installed yet. Installs what package-lock.json says when that changed, then hands over.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const [command = 'help', ...rest] = process.argv.slice(2)
const bin = (name) => join(root, 'node_modules', '.bin', name)
const tsx = (file, ...args) => [process.execPath, ['--import', 'tsx', join(root, file), ...args]]

const steps = {
  start: () => [tsx('cli/src/main.ts', 'demo', ...rest)],
  test: () =>
    rest.length > 0
      ? [tsx('stack/prepare-servers.ts'), [bin('vitest'), ['run', ...rest]]]
      : [
          [bin('biome'), ['ci', '.']],
          [bin('tsc'), ['-p', '.']],
          [bin('tsc'), ['-p', 'dashboards/viewer/browser']],
          tsx('stack/prepare-servers.ts'),
          [bin('vitest'), ['run']],
        ],
  check: () => [
    [bin('biome'), ['ci', '.']],
    [bin('tsc'), ['-p', '.']],
    [bin('tsc'), ['-p', 'dashboards/viewer/browser']],
    [bin('vitest'), ['run', '--project', 'unit', ...rest]],
  ],
  chaos: () => [tsx('cli/src/main.ts', 'chaos', ...rest)],
  bench: () => [tsx('stack/prepare-servers.ts'), tsx('bench/main.ts', ...rest)],
  build: () => [tsx('cli/build.ts', ...rest)],
  screenshots: () => [tsx('stack/prepare-servers.ts'), tsx('e2e/screenshots.ts', ...rest)],
}

await main()

async function main() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19))
    fail(`Tributary needs Node 20.19 or newer; this is ${process.versions.node} (https://nodejs.org)`)
  if (!(command in steps)) fail(`usage: node stack/bootstrap.mjs ${Object.keys(steps).join('|')}`)
  await installDependencies()
  for (const [program, args] of steps[command]()) {
    const code = await run(program, args)
    if (code !== 0) process.exit(code)
  }
}

async function installDependencies() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
  const marker = join(root, 'node_modules', '.tributary-installed')
  if (existsSync(marker) && readFileSync(marker, 'utf8') === lock) return
  console.error('Installing the dependencies that package-lock.json names (once; about a minute) …')
  // The npm that runs us: one that a dependency brings along stands before it on PATH, and would remove itself at work.
  const [npm, ...first] = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ['npm']
  const code = await run(npm, [...first, 'ci', '--no-audit', '--no-fund', '--loglevel=error'])
  if (code !== 0) fail('`npm ci` failed: see above. The first run needs a network; later ones do not.')
  mkdirSync(dirname(marker), { recursive: true })
  writeFileSync(marker, lock)
}

/** Runs a program; Ctrl-C reaches it directly, and we wait for it to end cleanly. */
function run(program, args) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: root, stdio: 'inherit' })
    const forward = (signal) => child.kill(signal)
    const ignore = () => undefined
    process.on('SIGINT', ignore)
    process.on('SIGTERM', forward)
    child.on('error', (error) => fail(`${program} could not be started: ${error.message}`))
    child.on('close', (code, signal) => {
      process.off('SIGINT', ignore)
      process.off('SIGTERM', forward)
      resolve(code ?? (signal ? 1 : 0))
    })
  })
}

function fail(text) {
  console.error(text)
  process.exit(2)
}
