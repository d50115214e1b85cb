import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { freePort } from './free-port.ts'

/** Drawn at random and without a memory, two of so many would be the same nearly always. */
const MANY = 300

test('no port is given twice, and each can be listened on', async () => {
  const ports = await Promise.all(Array.from({ length: MANY }, freePort))
  expect(new Set(ports).size).toBe(MANY)
  const server = createServer().listen(ports[0], '127.0.0.1')
  await once(server, 'listening')
  server.close()
})

test('another process takes none of them while this one lives', async () => {
  const mine = new Set(await Promise.all(Array.from({ length: MANY }, freePort)))
  const other = `import { freePort } from ${JSON.stringify(new URL('./free-port.ts', import.meta.url).href)}
    console.log(JSON.stringify(await Promise.all(Array.from({ length: ${MANY} }, freePort))))`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', other])
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  await once(child, 'close')
  const theirs = JSON.parse(text) as number[]
  expect(theirs).toHaveLength(MANY)
  expect(theirs.filter((port) => mine.has(port))).toEqual([])
})
