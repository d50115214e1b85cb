import { createInterface } from 'node:readline/promises'

/** From the terminal, or the first line of standard input. */
export async function readPassword(): Promise<string> {
  const lines = createInterface({
    input: process.stdin,
    output: process.stderr,
    terminal: process.stdin.isTTY === true,
  })
  try {
    return await lines.question(process.stdin.isTTY ? 'password: ' : '')
  } finally {
    lines.close()
  }
}
