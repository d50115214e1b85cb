import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ContractsError, readContracts } from './contract-files.ts'

const SHIPPED = new URL('../../contracts', import.meta.url).pathname

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'contracts-'))
})
afterEach(() => rm(folder, { recursive: true }))

const mistakesOf = async (): Promise<string> => {
  const error = await readContracts(folder).catch((caught) => caught)
  expect(error).toBeInstanceOf(ContractsError)
  return error.message
}

test('every shipped contract parses, under its own name', async () => {
  const contracts = await readContracts(SHIPPED)
  expect([...contracts.keys()]).toEqual([
    'agent_health',
    'climate',
    'gateway_health',
    'host',
    'power',
    'processor_health',
    'tank',
    'vibration',
  ])
})

test('a shipped kind of device counts its samples, and is missed when it falls silent', async () => {
  const contracts = await readContracts(SHIPPED)
  for (const kind of ['climate', 'vibration', 'power', 'tank']) {
    const contract = contracts.get(kind)
    expect(contract?.fields['sequence']).toMatchObject({ type: 'integer', role: 'sequence' })
    expect(contract?.detectors.silence).toBeGreaterThan(5 * (contract?.interval ?? Number.POSITIVE_INFINITY))
  }
})

test('numbers in a shipped contract are shown with a label and fit their unit', async () => {
  for (const contract of (await readContracts(SHIPPED)).values())
    for (const [name, field] of Object.entries(contract.fields)) {
      if (field.type !== 'float' && field.type !== 'integer') continue
      const units = { _percent: '%', _bytes: 'B', _ms: 'ms', _c: '°C', _seconds: 's' }
      for (const [suffix, unit] of Object.entries(units))
        if (name.endsWith(suffix)) expect(field.unit, `${contract.kind}.${name}`).toBe(unit)
    }
})

test('every mistake in every file is listed at once, with path, value and line', async () => {
  await writeFile(
    join(folder, 'boiler.yaml'),
    `kind: boiler
version: 1
description: A boiler.
interval: often
fields:
  temperature_c: { type: float, label: Temperature, range: [100, 0], unitt: °C }
thresholds:
  - { field: pressure, above: 3 }
`,
  )
  await writeFile(join(folder, 'torn.yaml'), 'kind: [torn\nversion: 1\n')
  await writeFile(
    join(folder, 'other.yaml'),
    'kind: lamp\nversion: 1\ndescription: A lamp.\ninterval: 1s\nfields: { lit: { type: boolean, label: Lit } }\n',
  )
  await writeFile(join(folder, 'old.yml'), 'kind: old\n')
  await writeFile(join(folder, 'notes.txt'), 'not a contract')
  const message = await mistakesOf()
  expect(message).toMatch(/boiler\.yaml:4: interval: .*"10s".*\(got "often"\)/)
  expect(message).toMatch(/boiler\.yaml:6: fields\.temperature_c\.range: .*\(got \[100,0\]\)/)
  expect(message).toMatch(/boiler\.yaml:6: fields\.temperature_c\.unitt: unknown key/)
  expect(message).toMatch(/torn\.yaml:\d+: not valid YAML/)
  expect(message).toMatch(/other\.yaml:1: kind: is "lamp": call the file lamp\.yaml/)
  expect(message).toMatch(/old\.yml: is not read: rename it to old\.yaml/)
  expect(message).not.toContain('notes.txt')
})

test('a folder that is not there, and one without a contract, are said so', async () => {
  expect(await mistakesOf()).toContain('there is no contract')
  await expect(readContracts(join(folder, 'nowhere'))).rejects.toThrow('the folder does not exist')
})

test('a folder called x.yaml is a mistake of its own', async () => {
  const { mkdir } = await import('node:fs/promises')
  await mkdir(join(folder, 'x.yaml'))
  expect(await mistakesOf()).toContain('x.yaml: cannot be read (EISDIR)')
})
