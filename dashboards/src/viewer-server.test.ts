import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { get as httpGet } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { createLogger, systemClock, UserError } from '@tributary/runtime'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadAssets, writeAssets } from './viewer-assets.ts'
import { createViewer, type Viewer, type ViewerOptions } from './viewer-server.ts'

const log = createLogger('viewer', 'silent')
const options = (more: Partial<ViewerOptions> = {}): ViewerOptions => ({
  listen: { host: '127.0.0.1', port: 0 },
  // Port 1 is nobody's.
  influx: { url: 'http://127.0.0.1:1', database: 'tributary', version: 1, auth: { kind: 'none' } },
  ...more,
})
const create = (more?: Partial<ViewerOptions>) => createViewer(options(more), { clock: systemClock, log })
const signal = new AbortController().signal

describe('viewer server', () => {
  let viewer: Viewer
  beforeAll(async () => {
    viewer = create()
    await viewer.start(signal)
  })
  afterAll(() => viewer.stop(signal))
  const fetchPath = (path: string, init?: RequestInit) => fetch(new URL(path, viewer.url), init)

  it('lists the dashboards, overviews first, and serves each as it stands in its file', async () => {
    const list = (await (await fetchPath('/api/dashboards')).json()) as { uid: string; title: string }[]
    expect(list.map((d) => d.title).slice(0, 4)).toEqual([
      'Fleet',
      'Anomalies and alerts',
      'Account',
      'Pipeline health',
    ])
    for (const { uid, title } of list)
      expect(await (await fetchPath(`/api/dashboards/${uid}`)).json()).toMatchObject({ uid, title })
  })

  it('serves the page at the addresses of dashboards, with a strict content policy', async () => {
    for (const path of ['/', '/d/tributary-fleet', '/d/tributary-fleet/fleet?from=now-1h&to=now']) {
      const response = await fetchPath(path)
      expect(await response.text()).toContain('<script type="module" src="/assets/app.js">')
      expect(response.headers.get('content-security-policy')).toMatch(/default-src 'none'; script-src 'self';/)
    }
  })

  it('serves the runbook, where panels and rows lead', async () => {
    const response = await fetchPath('/docs/runbook.md')
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(await response.text()).toContain('<h2 id="spool-full-shed">')
    expect((await fetchPath('/assets/docs.css')).headers.get('content-type')).toContain('text/css')
    for (const path of ['/docs/gone.md', '/docs/', '/docs/..%2fpackage.json', '/docs/images/fleet.png'])
      expect((await fetchPath(path)).status, path).toBe(404)
  })

  it('ships little: script and style under 64 KB gzipped, with page, icon and font under 150', async () => {
    const bytesOf = async (path: string) => {
      const body = Buffer.from(await (await fetchPath(path)).arrayBuffer())
      return path.endsWith('.woff2') ? body.length : gzipSync(body).length
    }
    const sum = async (paths: readonly string[]) => (await Promise.all(paths.map(bytesOf))).reduce((a, b) => a + b)
    const code = await sum(['/assets/app.js', '/assets/style.css'])
    expect(code).toBeLessThan(64_000)
    expect(code + (await sum(['/', '/assets/icon.svg', '/assets/inter.woff2']))).toBeLessThan(150_000)
  })

  it('sends a file again only when it changed, compressed when it is text', async () => {
    const first = await fetchPath('/assets/app.js')
    expect(first.headers.get('content-encoding')).toBe('gzip')
    const etag = first.headers.get('etag') as string
    expect((await fetchPath('/assets/app.js', { headers: { 'if-none-match': etag } })).status).toBe(304)
    expect((await fetchPath('/assets/inter.woff2')).headers.get('content-encoding')).toBeNull()
  })

  it.each([
    ['/api/dashboards/nothing', 404, 'there is no dashboard nothing'],
    ['/api/dashboards/..%2F..%2Fpackage', 404, 'there is no dashboard'],
    ['/assets/../package.json', 404, 'there is no'],
    ['/nothing', 404, 'there is no /nothing here'],
    ['/api/query?q=DROP%20DATABASE%20x', 400, 'refused: only SELECT and SHOW are passed on'],
    ['/api/query', 400, 'refused'],
    ['/api/query?q=SELECT%20a%20FROM%20b', 502, 'InfluxDB at http://127.0.0.1:1 does not answer'],
  ])('%s answers with %i', async (path, status, error) => {
    const response = await fetchPath(path)
    expect(response.status).toBe(status)
    expect(((await response.json()) as { error: string }).error).toContain(error)
  })

  it('answers GET only', async () => {
    expect((await fetchPath('/api/query?q=SELECT', { method: 'POST' })).status).toBe(405)
  })

  it('on loopback, refuses a name that was only made to point here', async () => {
    const statusFor = (host: string) =>
      new Promise((resolve, reject) => {
        httpGet(new URL('/api/dashboards', viewer.url), { headers: { host } }, (response) => {
          response.resume()
          resolve(response.statusCode)
        }).on('error', reject)
      })
    expect(await statusFor('evil.example:3001')).toBe(421)
    expect(await statusFor('localhost:3001')).toBe(200)
    expect(await statusFor('[::1]:3001')).toBe(200)
  })

  it('answers nothing to pages of somebody else', async () => {
    const statusFor = async (site: string) =>
      (await fetchPath('/api/query?q=SELECT%20a%20FROM%20b', { headers: { 'sec-fetch-site': site } })).status
    expect([await statusFor('cross-site'), await statusFor('same-site'), await statusFor('same-origin')]).toEqual([
      403, 403, 502,
    ])
  })

  it('says what to do when the port is taken', async () => {
    const second = create({ listen: { host: '127.0.0.1', port: Number(new URL(viewer.url).port) } })
    await expect(second.start(signal)).rejects.toThrow(/is in use by another program/)
    await second.stop(signal)
  })
})

describe('what it is given', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tributary-viewer-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it('a folder of dashboards that is missing stops it, with the command that makes one', async () => {
    const error = await create({ dashboardsFolder: join(folder, 'nothing') })
      .start(signal)
      .catch((e) => e)
    expect(error).toBeInstanceOf(UserError)
    expect(error.message).toContain('does not exist')
    expect(error.hint).toContain('npm run build:dashboards')
  })

  it('a file that is no dashboard is left out; a changed one is read anew', async () => {
    await writeFile(join(folder, 'torn.json'), '{"uid": "x"')
    await writeFile(join(folder, 'own.json'), '{"uid": "own", "title": "First"}')
    const viewer = create({ dashboardsFolder: folder })
    await viewer.start(signal)
    try {
      const titles = async () =>
        ((await (await fetch(new URL('/api/dashboards', viewer.url))).json()) as { title: string }[]).map(
          (d) => d.title,
        )
      expect(await titles()).toEqual(['First'])
      await writeFile(join(folder, 'own.json'), '{"uid": "own", "title": "Second one"}')
      expect(await titles()).toEqual(['Second one'])
    } finally {
      await viewer.stop(signal)
    }
  })

  it('prebuilt files serve as well as the sources', async () => {
    const built = join(folder, 'built')
    await writeAssets(built)
    const [fromSources, fromFolder] = await Promise.all([loadAssets(), loadAssets(built)])
    expect([...fromFolder.keys()].sort()).toEqual([...fromSources.keys()].sort())
    for (const [name, { etag, type }] of fromSources) expect(fromFolder.get(name)).toMatchObject({ etag, type })
    await expect(loadAssets(join(folder, 'nothing'))).rejects.toThrow(/viewer's files are not in/)
  })
})
