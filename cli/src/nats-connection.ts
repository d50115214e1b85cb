import type { NatsConnection } from '@nats-io/transport-node'
import { messageOf, UserError } from '@tributary/runtime'
import { Option } from 'commander'

export const natsOption = () =>
  new Option('--nats <url>', 'NATS server').default('nats://127.0.0.1:4222').env('TRIBUTARY_NATS_URL')

/** Connects for one piece of work. @throws UserError when no server answers, or does not any more */
export async function withNats<T>(url: string, work: (connection: NatsConnection) => Promise<T>): Promise<T> {
  const { connect, errors } = await import('@nats-io/transport-node')
  const connection = await connect({ servers: url, timeout: 5_000, reconnect: false }).catch((error) => {
    throw new UserError(`no NATS server answers at ${url} (${messageOf(error)})`, {
      cause: error,
      hint: 'give its address with --nats',
    })
  })
  try {
    return await work(connection)
  } catch (error) {
    const silent = [errors.TimeoutError, errors.RequestError, errors.ClosedConnectionError]
    if (!silent.some((kind) => error instanceof kind)) throw error
    throw new UserError(`the NATS server at ${url} does not answer any more (${messageOf(error)})`, {
      cause: error,
      hint: 'it may be busy or have stopped: see its log, and run this again; what was done stays done',
    })
  } finally {
    await connection.close()
  }
}
