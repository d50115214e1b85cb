/**
 * Faults that somebody asks a running simulator for: `POST /fault` on its admin server. They act, and stand in the ledger, like
 * those of the scenario; only what the scenario's rules allow for the devices is taken, so that the ledger stays the truth.
 */
import { UserError } from '@tributary/runtime'
import { z } from 'zod'
import type { MeasuringDevice } from './measuring-device.ts'
import { type FaultConfig, mistakesInFault, SWAP_UNPLUGGED_MS } from './scenario.ts'

/** A device without acknowledgement falls silent first, so that nothing of it lies in a buffer that goes away. */
const NOTICE_MS = 300
const FOR_MS_DEFAULT = 5_000
const FOR_MS_MAX = 86_400_000

const requestSchema = z.strictObject({
  fault: z.enum(['unplug', 'replug', 'swap', 'vanish', 'garble', 'silence', 'duplicate']),
  /** Names; `device` is short for one. None: every device that the fault can hit. */
  devices: z.array(z.string()).min(1).optional(),
  device: z.string().optional(),
  /** Default 5 s; an `unplug` lasts until a `replug`. */
  forMs: z.number().positive().max(FOR_MS_MAX).optional(),
  /** Of `garble`: the share of frames that are hit. */
  share: z.number().gt(0).max(1).default(0.5),
})
type Request = z.infer<typeof requestSchema>

export interface BroughtFault {
  readonly fault: Request['fault']
  readonly devices: readonly string[]
  /** Wall clock of the simulator's start plus the time since. */
  readonly fromMs: number
  readonly untilMs: number
}

/** @throws UserError when the request is malformed, names a device that there is not, or does not fit its link */
export function bringFault(
  body: unknown,
  devices: readonly MeasuringDevice[],
  elapsedMs: number,
  startedAtMs: number,
): BroughtFault {
  const parsed = requestSchema.safeParse(body)
  if (!parsed.success)
    throw new UserError(parsed.error.issues.map((i) => `${i.path.join('.') || 'body'}: ${i.message}`).join('; '), {
      hint: 'send {"fault": "unplug", "devices": ["pump-1"], "forMs": 3000}',
    })
  const request = parsed.data
  const configs = new Map(devices.map(({ model }) => [model.config.name, model.config]))
  const asked = [...(request.devices ?? []), ...(request.device === undefined ? [] : [request.device])]
  const unknown = asked.filter((name) => !configs.has(name))
  if (unknown.length > 0)
    throw new UserError(`there is no device ${unknown.join(', ')}`, {
      hint: `there are ${[...configs.keys()].join(', ')}`,
    })

  const atMs = elapsedMs + NOTICE_MS
  const forMs = request.forMs ?? (request.fault === 'unplug' ? FOR_MS_MAX : FOR_MS_DEFAULT)
  const fits = (name: string) =>
    faultsFor(request, name, asked, atMs, forMs).flatMap((f) => mistakesInFault(f, configs))
  const names = asked.length > 0 ? asked : [...configs.keys()].filter((name) => fits(name).length === 0)
  const mistakes = names.flatMap((name) => fits(name).map(([setting, message]) => `${name}: ${setting} ${message}`))
  if (request.fault === 'swap' && new Set(asked).size !== 2) mistakes.unshift('swap: name the two devices')
  if (mistakes.length > 0) throw new UserError([...new Set(mistakes)].join('; '))
  if (names.length === 0) throw new UserError(`no device of this scenario can be hit by ${request.fault}`)

  const hit = devices.filter(({ model }) => names.includes(model.config.name))
  if (request.fault === 'replug') {
    // A swap is of two: every device is told, and both go back.
    for (const { faults } of devices) faults.replug(elapsedMs, names)
    return { fault: 'replug', devices: names, fromMs: startedAtMs + elapsedMs, untilMs: startedAtMs + elapsedMs }
  }
  for (const name of request.fault === 'swap' ? names.slice(0, 1) : names)
    for (const fault of faultsFor(request, name, asked, atMs, forMs)) for (const { faults } of hit) faults.add(fault)
  const untilMs = startedAtMs + atMs + forMs + (request.fault === 'swap' ? SWAP_UNPLUGGED_MS : 0)
  return { fault: request.fault, devices: names, fromMs: startedAtMs + atMs, untilMs }
}

function faultsFor(
  request: Request,
  device: string,
  asked: readonly string[],
  at: number,
  forMs: number,
): FaultConfig[] {
  const when = { device, at, for: forMs }
  // Three kinds of damage, each sample hit by one at most as often as asked for.
  const share = request.share / 3
  switch (request.fault) {
    case 'unplug':
    case 'vanish':
    case 'duplicate':
      return [{ ...when, kind: request.fault }]
    case 'silence':
      return [{ ...when, kind: 'dropout', measuring: true }]
    case 'garble':
      return (['noise', 'truncate', 'garbage'] as const).map((kind) => ({ ...when, kind, share }))
    case 'swap':
      return [{ ...when, kind: 'swap', with: asked.find((name) => name !== device) ?? '' }]
    case 'replug':
      return []
  }
}
