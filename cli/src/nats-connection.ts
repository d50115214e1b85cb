import type { NatsConnection } from '@nats-io/transport-node'
import { messageOf, UserError } from '@tributary/runtime'

/** Connects, works, and closes. */
export async function withNats<T>(url: string, work: (connection: NatsConnection) => Promise<T>): Promise<T> {
  const { connect } = await import('@nats-io/transport-node')
  const connection = await connect({ servers: url, timeout: 5_000, reconnect: false }).catch((error) => {
    throw new UserError(`no NATS server answers at ${url} (${messageOf(error)})`, {
      cause: error,
      hint: 'give its address with --nats',
    })
  })
  try {
    return await work(connection)
  } finally {
    await connection.close()
  }
}
