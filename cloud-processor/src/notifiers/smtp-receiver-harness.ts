/** A real SMTP server for tests that takes mails, and misbehaves as it is told. */
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'

export interface ReceivedMail {
  /** Headers unfolded, names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly source: string
  readonly recipients: readonly string[]
  readonly isSecure: boolean
  readonly user: string | undefined
}

export interface SmtpReceiver {
  /** `127.0.0.1:port` */
  readonly address: string
  readonly port: number
  /** Every mail that was answered with 250, in order. */
  readonly taken: ReceivedMail[]
  close(): Promise<void>
}

export type SmtpBehaviour =
  | 'take'
  /** Breaks the connection off in the middle of the mail. */
  | 'destroy'
  /** Takes the mail and says nothing. */
  | 'hang'
  /** This code to the mail as a whole, to those recipients, or to the sender. */
  | { readonly code: number; readonly recipients?: readonly string[]; readonly isOfSender?: true }

const refusal = (code: number) => Object.assign(new Error(`no, ${code}`), { responseCode: code })

/** @param behave what to do with the n-th mail, from 0 on */
export async function startSmtpReceiver(
  behave: (n: number) => SmtpBehaviour,
  options: SMTPServerOptions & { readonly port?: number } = {},
): Promise<SmtpReceiver> {
  const taken: ReceivedMail[] = []
  let count = 0
  let current: SmtpBehaviour = 'take'
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: options.key === undefined ? ['STARTTLS'] : [],
    closeTimeout: 10,
    logger: false,
    ...options,
    onMailFrom(_address, _session, callback) {
      current = behave(count++)
      callback(typeof current === 'object' && current.isOfSender ? refusal(current.code) : null)
    },
    onRcptTo({ address }, _session, callback) {
      const isRefused = typeof current === 'object' && current.recipients?.includes(address)
      callback(isRefused ? refusal((current as { code: number }).code) : null)
    },
    onData(stream, session, callback) {
      const behaviour = current
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        if (behaviour === 'destroy') for (const connection of server.connections) connection._socket.destroy()
      })
      stream.on('end', () => {
        if (behaviour === 'hang' || behaviour === 'destroy') return
        if (typeof behaviour === 'object' && behaviour.recipients === undefined) {
          callback(refusal(behaviour.code))
          return
        }
        const source = Buffer.concat(chunks).toString('utf8')
        const recipients = session.envelope.rcptTo.map(({ address }) => address)
        taken.push({
          headers: headersOf(source),
          source,
          recipients,
          isSecure: session.secure,
          user: session.user as string | undefined,
        })
        callback()
      })
    },
  })
  server.on('error', () => undefined)
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', () => resolve()))
  const address = server.server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return { address: `127.0.0.1:${port}`, port, taken, close: () => new Promise((resolve) => server.close(resolve)) }
}

function headersOf(source: string): Record<string, string> {
  const head = source.slice(0, source.indexOf('\r\n\r\n')).replace(/\r\n[ \t]+/g, ' ')
  return Object.fromEntries(
    head.split('\r\n').map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }),
  )
}
