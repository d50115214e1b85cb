/** Config values that people write with units. */
import { z } from 'zod'

const BYTE_UNITS = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
} as const
const DURATION_UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** "64MiB" → bytes. */
export const byteSize = () =>
  z
    .string('must be a size such as "64MiB"')
    .regex(/^\d+(\.\d+)?\s*(B|[KMGT]iB|[KMGT]B)$/, 'must be a size such as "64MiB"')
    .transform((text) =>
      Math.round(Number.parseFloat(text) * BYTE_UNITS[/[A-Za-z]+$/.exec(text)?.[0] as keyof typeof BYTE_UNITS]),
    )

/** "250ms", "10s", "5m" → milliseconds. */
export const durationMs = () =>
  z
    .string('must be a duration such as "250ms", "10s" or "5m"')
    .regex(/^\d+(\.\d+)?\s*(ms|s|m|h|d)$/, 'must be a duration such as "250ms", "10s" or "5m"')
    .transform(
      (text) => Number.parseFloat(text) * DURATION_UNITS[/[a-z]+$/.exec(text)?.[0] as keyof typeof DURATION_UNITS],
    )

/** `127.0.0.1:9601` or `[::1]:9601`. */
export const hostPort = () =>
  z
    .string('must be host:port, such as "127.0.0.1:9601"')
    .regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port, such as "127.0.0.1:9601"')
    .transform((text) => {
      const at = text.lastIndexOf(':')
      return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(text.slice(at + 1)) }
    })
    .refine(({ port }) => port <= 65_535, 'the port must be at most 65535')
export type HostPort = { readonly host: string; readonly port: number }
