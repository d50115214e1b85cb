/**
 * Config: one zod schema with defaults, unknown keys refused (use `z.strictObject`), all errors at once, each with its
 * path and the value found. `${NAME}` and `${NAME:-default}` in string values are taken from the environment.
 */
import { readFile } from 'node:fs/promises'
import { isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml'
import type { z } from 'zod'
import { errorCode, messageOf, UserError } from './errors.ts'

export interface ConfigMistake {
  /** `spool.budget`; '' for the file itself. */
  readonly path: string
  readonly message: string
  /** 1-based, when it could be told. */
  readonly line: number | undefined
}

export class ConfigError extends UserError {
  override readonly name = 'ConfigError'
  readonly file: string
  readonly mistakes: readonly ConfigMistake[]
  constructor(file: string, mistakes: readonly ConfigMistake[], hint?: string) {
    const lines = mistakes.map(
      (m) => `  ${m.line === undefined ? '' : `line ${m.line}: `}${m.path ? `${m.path}: ` : ''}${m.message}`,
    )
    super(
      `${file}: ${mistakes.length === 1 ? '1 mistake' : `${mistakes.length} mistakes`}\n${lines.join('\n')}`,
      hint ? { hint } : {},
    )
    this.file = file
    this.mistakes = mistakes
  }
}

export async function loadConfig<T>(
  file: string,
  schema: z.ZodType<T>,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<T> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const why = errorCode(error) === 'ENOENT' ? 'the file does not exist' : `cannot be read (${errorCode(error)})`
    throw new ConfigError(file, [{ path: '', message: why, line: undefined }], 'give the path with --config')
  }
  return parseConfig(file, text, schema, environment)
}

export function parseConfig<T>(
  file: string,
  text: string,
  schema: z.ZodType<T>,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): T {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter, uniqueKeys: true, prettyErrors: false })
  if (document.errors.length > 0) {
    const mistakes = document.errors.map((e) => ({
      path: '',
      message: `not valid YAML: ${e.message}`,
      line: lineCounter.linePos(e.pos[0]).line,
    }))
    throw new ConfigError(file, mistakes)
  }
  const missing: ConfigMistake[] = []
  /** Where the key stands, or the nearest one above it that is there. */
  const lineOf = (path: readonly PropertyKey[]): number | undefined => {
    for (let length = path.length; length > 0; length--) {
      const parent = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true)
      const last = path[length - 1]
      const pair = isMap(parent)
        ? parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(last))
        : undefined
      const node = pair ? pair.key : document.getIn(path.slice(0, length), true)
      if (isNode(node) && node.range) return lineCounter.linePos(node.range[0]).line
    }
    return undefined
  }
  let read: unknown
  try {
    read = document.toJS({ maxAliasCount: 100 }) ?? {}
  } catch (error) {
    throw new ConfigError(file, [{ path: '', message: `not valid YAML: ${messageOf(error)}`, line: undefined }])
  }
  const value = substitute(read, [], environment, (path, name) =>
    missing.push({ path: joinPath(path), message: `the environment variable ${name} is not set`, line: lineOf(path) }),
  )
  const result = schema.safeParse(value)
  const mistakes: ConfigMistake[] = [...missing]
  if (!result.success)
    // One a place: what is no size at all need not be told that it is too small.
    for (const issue of result.error.issues)
      for (const mistake of mistakesOf(issue, value, lineOf))
        if (!mistakes.some(({ path }) => path === mistake.path)) mistakes.push(mistake)
  mistakes.sort((a, b) => (a.line ?? 0) - (b.line ?? 0))
  if (!result.success || mistakes.length > 0) throw new ConfigError(file, mistakes)
  return result.data
}

function mistakesOf(
  issue: z.core.$ZodIssue,
  value: unknown,
  lineOf: (path: readonly PropertyKey[]) => number | undefined,
): ConfigMistake[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      path: joinPath([...issue.path, key]),
      message: 'unknown key',
      line: lineOf([...issue.path, key]),
    }))
  // The name is the last part of the path.
  if (issue.code === 'invalid_key')
    return issue.issues.map(({ message }) => ({ path: joinPath(issue.path), message, line: lineOf(issue.path) }))
  const found = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value)
  const path = joinPath(issue.path)
  const line = lineOf(issue.path)
  if (issue.code === 'invalid_type' && found === undefined) return [{ path, message: 'is missing', line }]
  // Zod's own words are for programmers.
  const message =
    issue.code === 'invalid_type' && issue.message.startsWith('Invalid input')
      ? `must be ${/^[aeiou]/.test(issue.expected) ? 'an' : 'a'} ${issue.expected}`
      : issue.message
  const isSecret = SECRET.test(path) || (issue.code === 'custom' && issue.params?.['isSecret'] === true)
  return [{ path, message: `${message} (got ${isSecret ? 'a secret that is not shown' : abbreviate(found)})`, line }]
}

/** Values at such paths are not printed, nor those of which the schema says `params: { isSecret: true }`. */
const SECRET = /(password|secret|token|key)$|(^|\.)headers\./i

function abbreviate(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

const joinPath = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : text ? `${text}.${String(key)}` : String(key)),
    '',
  )

function substitute(
  value: unknown,
  path: readonly PropertyKey[],
  environment: Readonly<Record<string, string | undefined>>,
  onMissing: (path: readonly PropertyKey[], name: string) => void,
): unknown {
  if (typeof value === 'string')
    return value.replace(/\$\{([A-Za-z_]\w*)(?::-([^}]*))?\}/g, (_, name: string, fallback: string | undefined) => {
      const found = environment[name] ?? fallback
      if (found === undefined) onMissing(path, name)
      return found ?? ''
    })
  if (Array.isArray(value)) return value.map((item, i) => substitute(item, [...path, i], environment, onMissing))
  if (value !== null && typeof value === 'object')
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, substitute(item, [...path, key], environment, onMissing)]),
    )
  return value
}
