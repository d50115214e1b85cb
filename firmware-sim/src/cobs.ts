/** Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999), without the delimiter. */

export function cobsEncode(input: Uint8Array): Uint8Array {
  const output = new Uint8Array(input.length + Math.floor(input.length / 254) + 1)
  let codeAt = 0
  let at = 1
  let code = 1
  const close = () => {
    output[codeAt] = code
    codeAt = at++
    code = 1
  }
  for (let i = 0; i < input.length; i++) {
    const byte = input[i] as number
    if (byte === 0) close()
    else {
      output[at++] = byte
      code++
      if (code === 0xff && i + 1 < input.length) close()
    }
  }
  output[codeAt] = code
  return output.subarray(0, at)
}

/** @returns undefined when the bytes are no COBS */
export function cobsDecode(input: Uint8Array): Uint8Array | undefined {
  const output: number[] = []
  for (let at = 0; at < input.length; ) {
    const code = input[at] as number
    if (code === 0 || at + code > input.length) return undefined
    for (const byte of input.subarray(at + 1, at + code)) {
      if (byte === 0) return undefined
      output.push(byte)
    }
    at += code
    if (code < 0xff && at < input.length) output.push(0)
  }
  return Uint8Array.from(output)
}
