/**
 * Guarantee: what `readOnlyStatement` returns is one SELECT without INTO, or one harmless SHOW, that names no database but
 * the given one, whatever the text was. It rests on reading the text as InfluxDB's own scanner does (github.com/influxdata/
 * influxql, scanner.go); where the two could differ, chiefly whether a slash begins a regular expression, the text is refused.
 */

export const QUERY_CHARACTERS_MAX = 16_384

/** Why a query is not passed on; the message is for the person who wrote it. */
export class RefusedQuery extends Error {
  override readonly name = 'RefusedQuery'
}

export interface Token {
  readonly kind: 'word' | 'quoted' | 'string' | 'number' | 'regex' | 'symbol'
  /** Without quotes, escapes undone, for `word`, `quoted` and `string`; else as written. */
  readonly text: string
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', '\\': '\\', '"': '"', "'": "'" }
const SYMBOLS = ['::', '=~', '!~', '!=', '<>', '<=', '>=', ...'+-*%&|^=<>(),;.']

/** Tokens of the text, and the text with each comment replaced by a space. @throws RefusedQuery */
export function scan(text: string): { tokens: Token[]; withoutComments: string } {
  const tokens: Token[] = []
  let withoutComments = ''
  let at = 0
  const take = (token: Token, length: number) => {
    tokens.push(token)
    withoutComments += text.slice(at, at + length)
    at += length
  }
  while (at < text.length) {
    const character = text[at] as string
    const two = text.slice(at, at + 2)
    const last = tokens.at(-1)
    const rest = text.slice(at)
    const blank = /^[ \t\n]+/.exec(rest)?.[0]
    if (blank) {
      withoutComments += blank
      at += blank.length
    } else if (two === '--' || two === '/*') {
      at = endOfComment(text, at)
      withoutComments += ' '
    } else if (character === "'" || character === '"') {
      const { value, length } = quotedText(text, at)
      take({ kind: character === '"' ? 'quoted' : 'string', text: value }, length)
    } else if (character === '/') {
      if (last?.kind === 'symbol' && (last.text === '=~' || last.text === '!~')) {
        const length = regexLength(text, at)
        take({ kind: 'regex', text: text.slice(at, at + length) }, length)
      } else if (last?.kind === 'quoted' || last?.kind === 'number' || (last?.kind === 'symbol' && last.text === ')'))
        take({ kind: 'symbol', text: '/' }, 1)
      else
        throw new RefusedQuery(
          'a regular expression may stand after =~ and !~ only; to divide, put the name before the slash in double quotes',
        )
    } else {
      const word = /^[A-Za-z_][A-Za-z0-9_]*/.exec(rest)?.[0]
      const number = /^(\d+(\.\d+)?|\.\d+)([a-zµ]+\d*)*/.exec(rest)?.[0]
      const symbol = SYMBOLS.find((s) => rest.startsWith(s))
      if (word) take({ kind: 'word', text: word }, word.length)
      else if (number) take({ kind: 'number', text: number }, number.length)
      else if (symbol) take({ kind: 'symbol', text: symbol }, symbol.length)
      else throw new RefusedQuery(`unexpected character ${JSON.stringify(character)} at position ${at}`)
    }
  }
  return { tokens, withoutComments }
}

function endOfComment(text: string, at: number): number {
  if (text.startsWith('--', at)) {
    const end = text.indexOf('\n', at)
    return end === -1 ? text.length : end
  }
  const end = text.indexOf('*/', at + 2)
  if (end === -1) throw new RefusedQuery('a comment is not closed')
  return end + 2
}

function quotedText(text: string, start: number): { value: string; length: number } {
  const quote = text[start]
  let value = ''
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at] as string
    if (character === quote) return { value, length: at + 1 - start }
    if (character === '\n') break
    if (character === '\\') {
      const escaped = ESCAPES[text[at + 1] ?? '']
      if (escaped === undefined) throw new RefusedQuery(`unknown escape \\${text[at + 1] ?? ''} in a quoted text`)
      value += escaped
      at++
    } else value += character
  }
  throw new RefusedQuery(`a ${quote === '"' ? 'quoted name' : 'string'} is not closed`)
}

/** As InfluxDB does: a backslash keeps the slash behind it from closing, also when another backslash stands before it. */
function regexLength(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\n') break
    if (text[at] === '/') return at + 1 - start
    if (text[at] === '\\' && text[at + 1] === '/') at++
  }
  throw new RefusedQuery('a regular expression is not closed')
}

const SHOWABLE = /^SHOW (TAG KEYS|TAG VALUES|FIELD KEYS|MEASUREMENTS|RETENTION POLICIES)\b/
/** Reserved words: as names they must be quoted, so bare ones can only do harm. */
const FORBIDDEN = new Set(
  'INTO DROP DELETE CREATE ALTER GRANT REVOKE KILL SET INSERT EXPLAIN ANALYZE PASSWORD USERS GRANTS'.split(' '),
)

/** @returns the statement to pass on. @throws RefusedQuery with the reason */
export function readOnlyStatement(text: string, database: string): string {
  if (text.length > QUERY_CHARACTERS_MAX)
    throw new RefusedQuery(`the query is longer than ${QUERY_CHARACTERS_MAX} characters`)
  const { tokens, withoutComments } = scan(text)
  while (isSymbol(tokens.at(-1), ';')) tokens.pop()
  if (tokens.some((t) => isSymbol(t, ';'))) throw new RefusedQuery('one statement at a time')
  const words = tokens.map((t) => (t.kind === 'word' ? t.text.toUpperCase() : undefined))
  const verb = words[0]
  if (verb !== 'SELECT' && verb !== 'SHOW') throw new RefusedQuery('only SELECT and SHOW are passed on')
  const forbidden = words.find((word) => word !== undefined && FORBIDDEN.has(word))
  if (forbidden) throw new RefusedQuery(`${forbidden} is not passed on: this is for reading`)
  if (verb === 'SHOW' && !SHOWABLE.test(words.slice(0, 3).join(' ')))
    throw new RefusedQuery(
      'SHOW is passed on for tag keys, tag values, field keys, measurements and retention policies',
    )
  tokens.forEach((token, i) => {
    const named = otherDatabase(tokens, i, database) ?? (words[i - 1] === 'ON' && nameOf(token))
    if (named && named !== database) throw new RefusedQuery(`only the database ${database} is served, not ${named}`)
  })
  return withoutComments.replace(/[;\s]+$/, '')
}

const isSymbol = (token: Token | undefined, text: string): boolean => token?.kind === 'symbol' && token.text === text
const nameOf = (token: Token | undefined): string | undefined =>
  token?.kind === 'word' || token?.kind === 'quoted' ? token.text : undefined

/** The database in `database.policy.measurement` or `database..measurement` that begins at this token. */
function otherDatabase(tokens: readonly Token[], at: number, database: string): string | undefined {
  const name = nameOf(tokens[at])
  if (name === undefined || name === database || isSymbol(tokens[at - 1], '.') || !isSymbol(tokens[at + 1], '.'))
    return undefined
  const afterNext = isSymbol(tokens[at + 2], '.') ? at + 2 : at + 3
  return isSymbol(tokens[afterNext], '.') ? name : undefined
}
