/**
 * Floods a site view and the tap behind it: requests for pages, logins and sockets without a session, derived samples far beyond the
 * rate, readers of the tap that read nothing. A program of its own, so that it takes nothing from whoever looks on:
 * `node site-view-flood.mjs '{"siteView": URL, "siteTap": URL, "token": TEXT, "durationMs": N}'`, on this machine alone. Prints JSON:
 * how many requests were made, how many derived readings the gateway took and refused.
 */
import { connect } from 'node:net'

const CLIENTS = 16
const SAMPLES_PER_POST = 500
const PAGES = [
  '/dashboard/site',
  '/editor/flows',
  '/dashboard/socket.io/?EIO=4&transport=polling',
  '/login',
  '/healthz',
]

const { siteView, siteTap, token, durationMs } = JSON.parse(process.argv[2])
const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
const untilMs = Date.now() + durationMs
const counts = { requests: 0, derived: 0, refused: 0 }
const goesOn = () => Date.now() < untilMs

async function request(url, init = {}) {
  const response = await fetch(url, { redirect: 'manual', ...init, signal: AbortSignal.timeout(20_000) }).catch(
    () => undefined,
  )
  await response?.arrayBuffer().catch(() => undefined)
  counts.requests += 1
  return response?.status ?? 0
}
async function ask(client) {
  for (let i = client; goesOn(); i++) {
    const page = PAGES[i % PAGES.length]
    const login = { method: 'POST', body: new URLSearchParams({ user: 'admin', password: `guess ${i}` }) }
    const status = await request(siteView + page, page === '/login' ? login : {})
    if (status === 0) await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
/** Of a kind that nobody is told of when it falls silent. */
async function derive() {
  while (goesOn()) {
    const nowMs = Date.now()
    const samples = Array.from({ length: SAMPLES_PER_POST }, (_, i) => ({
      device: `flood-${i % 5}`,
      kind: 'host',
      timeMs: nowMs + i,
      fields: { cpu_percent: 20 + (i % 7) },
    }))
    const status = await request(`${siteTap}/samples`, { method: 'POST', headers, body: JSON.stringify({ samples }) })
    counts[status === 204 ? 'derived' : 'refused'] += SAMPLES_PER_POST
  }
}

const { hostname, port } = new URL(siteTap)
const idle = [1, 2].map(() => {
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  socket.pause()
  socket.write(`GET /batches HTTP/1.1\r\nhost: tap\r\nauthorization: Bearer ${token}\r\n\r\n`)
  return socket
})
await Promise.all([...Array.from({ length: CLIENTS }, (_, client) => ask(client)), derive(), derive()])
for (const socket of idle) socket.destroy()
console.log(JSON.stringify(counts))
process.exit()
