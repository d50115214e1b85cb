/** Finds or unpacks every server and library that the tests and benchmarks need, and prints their versions. */
import { messageOf, UserError } from '@tributary/runtime'
import { findLibfaketime, findServer, type ServerName } from './src/index.ts'

const say = (text: string) => console.error(text)
try {
  const names: ServerName[] = ['nats-server', 'influxd', 'mosquitto', 'prometheus-alertmanager', 'chromium']
  for (const name of names) {
    const { version, path } = await findServer(name, say)
    say(`${name} ${version} (${path})`)
  }
  say(`libfaketime (${await findLibfaketime(say)})`)
} catch (error) {
  say(messageOf(error))
  if (error instanceof UserError && error.hint) say(`→ ${error.hint}`)
  process.exitCode = 2
}
