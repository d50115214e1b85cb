import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { ConfigError, loadConfig, parseConfig } from './config.ts'
import { byteSize, durationMs, hostPort } from './config-values.ts'

const schema = z.strictObject({
  name: z.string(),
  spool: z.strictObject({ budget: byteSize().default(1024), durability: durationMs().default(250) }).prefault({}),
  inputs: z.array(z.strictObject({ path: z.string(), baud: z.int().min(300).default(9600) })).default([]),
  listen: hostPort().optional(),
  password: z.string().min(8).optional(),
})

function mistakesOf(text: string, environment: Record<string, string> = {}) {
  try {
    parseConfig('agent.yaml', text, schema, environment)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('the config was accepted')
}

describe('a config', () => {
  it('has defaults, and values with units', () => {
    const text = 'name: north\nspool:\n  budget: 64MiB\ninputs:\n  - path: /dev/ttyUSB0\nlisten: "[::1]:9601"\n'
    expect(parseConfig('agent.yaml', text, schema)).toEqual({
      name: 'north',
      spool: { budget: 64 * 1024 ** 2, durability: 250 },
      inputs: [{ path: '/dev/ttyUSB0', baud: 9600 }],
      listen: { host: '::1', port: 9601 },
    })
  })

  it('tells all mistakes at once, in order, each with line, path and value', () => {
    const error = mistakesOf(
      'nam: north\nspool:\n  budget: 6MB5\n  durability: 250\ninputs:\n  - path: 7\n  - baud: 5\nextra:\n  a: 1\n',
    )
    expect(error.mistakes.map(({ line, path, message }) => `${line} ${path} ${message}`)).toEqual([
      'undefined name is missing',
      '1 nam unknown key',
      '3 spool.budget must be a size such as "64MiB" (got "6MB5")',
      '4 spool.durability must be a duration such as "250ms", "10s" or "5m" (got 250)',
      '6 inputs[0].path must be a string (got 7)',
      '7 inputs[1].path is missing',
      expect.stringMatching(/^7 inputs\[1\]\.baud .*300.*\(got 5\)$/),
      '8 extra unknown key',
    ])
    expect(error.message).toMatch(/^agent\.yaml: 8 mistakes\n/)
    expect(error.message).toContain('line 3: spool.budget: must be a size')
  })

  it('takes what is between braces from the environment, or the default beside it', () => {
    const text = `name: \${SITE}-\${UNIT:-one}\n`
    expect(parseConfig('a', text, schema, { SITE: 'north' }).name).toBe('north-one')
    expect(parseConfig('a', text, schema, { SITE: 'north', UNIT: 'two' }).name).toBe('north-two')
    const { mistakes } = mistakesOf(`# where\nname: \${SITE}\n`)
    expect(mistakes).toEqual([{ path: 'name', message: 'the environment variable SITE is not set', line: 2 }])
  })

  it('tells one mistake a value, also when the variable for it is missing', () => {
    expect(mistakesOf(`name: a\nspool:\n  budget: \${BUDGET}\n`).mistakes).toHaveLength(1)
  })

  it('does not print secrets', () => {
    expect(mistakesOf('name: a\npassword: short\n').message).not.toContain('short')
  })

  it('says where YAML ends', () => {
    expect(mistakesOf('name: north\nspool: [1\n').message).toMatch(/line \d: not valid YAML/)
    expect(mistakesOf('name: a\nname: b\n').message).toContain('line 2')
    expect(mistakesOf('name: *nobody\n').message).toContain('not valid YAML')
  })

  it('may be empty text or no mapping at all, and is then refused in the same way', () => {
    expect(mistakesOf('').message).toContain('name: is missing')
    expect(mistakesOf('- 1\n').mistakes[0]?.message).toBe('must be an object (got [1])')
  })

  it('is read from a file, and says when there is none', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'config-'))
    try {
      await writeFile(join(folder, 'a.yaml'), 'name: north\n')
      expect(await loadConfig(join(folder, 'a.yaml'), schema)).toMatchObject({ name: 'north' })
      await expect(loadConfig(join(folder, 'b.yaml'), schema)).rejects.toThrow(
        /b\.yaml: 1 mistake\n {2}the file does not/,
      )
      await expect(loadConfig(folder, schema)).rejects.toThrow('cannot be read (EISDIR)')
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

describe('values with units', () => {
  it.each([
    ['1.5KiB', 1536],
    ['2 GB', 2e9],
    ['7B', 7],
  ])('%s are bytes', (text, bytes) => expect(byteSize().parse(text)).toBe(bytes))
  it.each([
    ['1.5s', 1500],
    ['2 m', 120_000],
    ['1d', 86_400_000],
  ])('%s are milliseconds', (text, ms) => expect(durationMs().parse(text)).toBe(ms))
  it('refuse what is none', () => {
    for (const text of ['64', 'MiB', '-1MiB', '1 mib']) expect(byteSize().safeParse(text).success).toBe(false)
    for (const text of ['10', '10 hours', '']) expect(durationMs().safeParse(text).success).toBe(false)
    for (const text of ['9601', 'host:', 'a b:1', 'host:70000']) expect(hostPort().safeParse(text).success).toBe(false)
  })
})
