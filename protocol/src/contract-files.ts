import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { LineCounter, parseDocument } from 'yaml'
import { type Contract, type Contracts, contractSchema } from './contract.ts'

export interface ContractMistake {
  readonly file: string
  /** `fields.temperature_c.range[1]`; '' for the file itself. */
  readonly path: string
  readonly message: string
  /** 1-based, when it could be told. */
  readonly line: number | undefined
}

/** Every mistake in every contract of a folder: something that a person must mend. */
export class ContractsError extends Error {
  override readonly name = 'ContractsError'
  readonly mistakes: readonly ContractMistake[]
  readonly hint = 'correct the contracts; `tributary check` reads them again'
  constructor(folder: string, mistakes: readonly ContractMistake[]) {
    const lines = mistakes.map(
      ({ file, line, path, message }) =>
        `  ${file}${line === undefined ? '' : `:${line}`}: ${path ? `${path}: ` : ''}${message}`,
    )
    super(
      `contracts in ${folder}: ${mistakes.length === 1 ? '1 mistake' : `${mistakes.length} mistakes`}\n${lines.join('\n')}`,
    )
    this.mistakes = mistakes
  }
}

/**
 * Reads every `*.yaml` of a folder, one kind a file, named after it.
 * @throws ContractsError that lists every mistake in every file, with path and value
 */
export async function readContracts(folder: string): Promise<Contracts> {
  return new Map([...(await readFolder(folder))].map(([kind, { contract }]) => [kind, contract]))
}

/** The same as the files say it, checked but without defaults: what `contractSchema` makes contracts of. @throws ContractsError */
export async function readContractSources(folder: string): Promise<ReadonlyMap<string, unknown>> {
  return new Map([...(await readFolder(folder))].map(([kind, { value }]) => [kind, value]))
}

async function readFolder(folder: string): Promise<Map<string, Parsed>> {
  const contracts = new Map<string, Parsed>()
  const mistakes: ContractMistake[] = []
  const files = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    const message = error.code === 'ENOENT' ? 'the folder does not exist' : `cannot be read (${error.code})`
    throw new ContractsError(folder, [{ file: folder, path: '', message, line: undefined }])
  })
  for (const file of files.filter((name) => /\.ya?ml$/.test(name)).sort()) {
    const wholeFile = (message: string) => mistakes.push({ file, path: '', message, line: undefined })
    if (file.endsWith('.yml')) {
      wholeFile(`is not read: rename it to ${basename(file, '.yml')}.yaml`)
      continue
    }
    const text = await readFile(join(folder, file), 'utf8').catch((error: NodeJS.ErrnoException) => {
      wholeFile(`cannot be read (${error.code})`)
      return undefined
    })
    if (text === undefined) continue
    const parsed = parseContract(file, text, mistakes)
    if (!parsed) continue
    const { contract } = parsed
    if (`${contract.kind}.yaml` === file) contracts.set(contract.kind, parsed)
    else
      mistakes.push({
        file,
        path: 'kind',
        message: `is "${contract.kind}": call the file ${contract.kind}.yaml`,
        line: 1,
      })
  }
  if (mistakes.length > 0) throw new ContractsError(folder, mistakes)
  if (contracts.size === 0)
    throw new ContractsError(folder, [
      { file: folder, path: '', message: 'there is no contract (*.yaml) in it', line: undefined },
    ])
  return contracts
}

interface Parsed {
  readonly contract: Contract
  /** What the file says. */
  readonly value: unknown
}

function parseContract(file: string, text: string, mistakes: ContractMistake[]): Parsed | undefined {
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter, uniqueKeys: true, prettyErrors: false })
  for (const error of document.errors)
    mistakes.push({
      file,
      path: '',
      message: `not valid YAML: ${error.message}`,
      line: lineCounter.linePos(error.pos[0]).line,
    })
  if (document.errors.length > 0) return undefined
  const value: unknown = document.toJS({ maxAliasCount: 100 })
  const lineOf = (path: readonly PropertyKey[]): number | undefined => {
    for (let length = path.length; length > 0; length--) {
      const node = document.getIn(path.slice(0, length), true) as { range?: [number, number, number] } | undefined
      if (node?.range) return lineCounter.linePos(node.range[0]).line
    }
    return undefined
  }
  const result = contractSchema.safeParse(value)
  if (result.success) return { contract: result.data, value }
  for (const issue of result.error.issues) {
    const unknownKeys = issue.code === 'unrecognized_keys' ? issue.keys : []
    for (const key of unknownKeys)
      mistakes.push({
        file,
        path: joined([...issue.path, key]),
        message: 'unknown key',
        line: lineOf([...issue.path, key]),
      })
    if (unknownKeys.length > 0) continue
    const found = issue.path.reduce<unknown>(
      (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
      value,
    )
    const got = found === undefined ? '(missing)' : `(got ${abbreviated(found)})`
    mistakes.push({ file, path: joined(issue.path), message: `${issue.message} ${got}`, line: lineOf(issue.path) })
  }
  return undefined
}

function abbreviated(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

const joined = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : text ? `${text}.${String(key)}` : String(key)),
    '',
  )
