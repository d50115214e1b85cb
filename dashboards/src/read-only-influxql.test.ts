import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { QUERY_CHARACTERS_MAX, RefusedQuery, readOnlyStatement, scan } from './read-only-influxql.ts'

const pass = (query: string) => readOnlyStatement(query, 'tributary')

describe('what is passed on', () => {
  it.each([
    'SELECT mean("a") FROM "climate" WHERE time > now() - 5m GROUP BY time(10s), "device" fill(null)',
    'select a from b',
    `SELECT "message" FROM "alert" WHERE "message" = 'a; DROP DATABASE x -- INTO' LIMIT 5`,
    'SELECT "a" / "b", ("a") / 2, 4 / 2 FROM c',
    'SELECT sum("a") / sum("b") FROM (SELECT "x" * "n" AS "a", "n" AS "b" FROM "rollup"."climate_10s")',
    'SELECT a FROM b WHERE device =~ /^(a|b\\/c)$/ AND site !~ /x;y/',
    'SELECT a FROM "tributary"."autogen"."b"',
    'SELECT a FROM tributary..b',
    'SELECT a FROM "rollup".b',
    'SELECT "into", "drop" FROM "delete"',
    'SHOW TAG VALUES FROM "climate" WITH KEY = "device" WHERE "site" =~ /^.*$/',
    'SHOW MEASUREMENTS',
    'show tag keys on tributary from climate',
    'SHOW RETENTION POLICIES ON "tributary"',
    'SELECT -1.5e3 FROM a WHERE x <> .5',
  ])('%s', (query) => expect(pass(query)).toBe(query))

  it('drops comments and a semicolon at the end', () => {
    expect(pass('SELECT a /* ; DROP DATABASE x */ FROM b -- INTO c\nWHERE d = 1 ; ;\n')).toBe(
      'SELECT a   FROM b  \nWHERE d = 1',
    )
  })
})

describe('what is refused', () => {
  it.each([
    ['', /only SELECT and SHOW/],
    ['DROP DATABASE tributary', /only SELECT and SHOW/],
    ['DELETE FROM climate', /only SELECT and SHOW/],
    ['(SELECT a FROM b)', /only SELECT and SHOW/],
    ['"SELECT" a FROM b', /only SELECT and SHOW/],
    ['EXPLAIN ANALYZE SELECT a FROM b', /only SELECT and SHOW/],
    ['SELECT a FROM b; SELECT c FROM d', /one statement/],
    ['SELECT a FROM b; DROP DATABASE tributary', /one statement/],
    ['SELECT a INTO c FROM b', /INTO is not passed on/],
    ['SELECT a InTo c FROM b', /INTO is not passed on/],
    ['SELECT a/**/INTO/**/c FROM b', /a regular expression may stand|INTO/],
    ['SELECT "a"/**/INTO/**/c FROM b', /INTO/],
    ["SELECT a FROM b WHERE c = '\\'; DROP DATABASE x; --", /not closed/],
    ["SELECT a FROM b WHERE c = 'x\ny'", /not closed/],
    ['SELECT a FROM b /* not closed', /not closed/],
    ['SELECT a FROM b WHERE c =~ /x', /not closed/],
    ['SHOW USERS', /USERS is not passed on/],
    ['SHOW GRANTS FOR x', /GRANTS/],
    ['SHOW DATABASES', /SHOW is passed on for/],
    ['SHOW QUERIES', /SHOW is passed on for/],
    ['SHOW TAG VALUES ON other WITH KEY = x', /only the database tributary/],
    ['SHOW MEASUREMENTS ON "_internal"', /only the database tributary/],
    ['SELECT a FROM "_internal"."monitor"."httpd"', /only the database tributary/],
    ['SELECT a FROM _internal..httpd', /only the database tributary/],
    ['SELECT a FROM (SELECT b FROM "other"."autogen"."c")', /only the database tributary/],
    ['SELECT $x FROM b', /unexpected character "\$"/],
    ['SELECT a FROM b\u00a0; DROP DATABASE x', /unexpected character/],
    // InfluxDB reads a regular expression here; were the slash a division, the quote would hide what follows.
    ["SELECT /'/ FROM a; DROP MEASUREMENT b --'", /a regular expression may stand/],
    ["SELECT a FROM /'/ ; DROP MEASUREMENT b --'", /a regular expression may stand/],
    ["SELECT a FROM b GROUP BY c, /'/ ; DROP MEASUREMENT b --'", /a regular expression may stand/],
    // Two backslashes and a slash: the second backslash keeps the slash from closing, so what follows is still inside.
    ['SELECT a FROM b WHERE c =~ /x\\\\/ ; DROP MEASUREMENT b', /not closed/],
  ])('%s', (query, reason) => {
    expect(() => pass(query)).toThrow(RefusedQuery)
    expect(() => pass(query)).toThrow(reason)
  })
})

it('refuses a query that is too long', () => {
  expect(() => pass(`SELECT ${'a'.repeat(QUERY_CHARACTERS_MAX)} FROM b`)).toThrow(/longer than 16384 characters/)
})

describe('for any text', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      'SELECT',
      'SHOW',
      'INTO',
      'DROP',
      'FROM',
      'a',
      '"b"',
      "'c'",
      '/',
      '//',
      '/*',
      '*/',
      '--',
      '\n',
      ';',
      '\\',
      '"',
      "'",
      '=~',
      '.',
      '..',
      ' ',
      '(',
      ')',
      ',',
      '1m',
      '*',
    ),
    fc.string({ maxLength: 4 }),
  )
  const text = fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(''))

  it('answers with a statement or a RefusedQuery, and reading the statement again changes nothing', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          text,
          text.map((t) => `SELECT ${t}`),
        ),
        (query) => {
          let statement: string
          try {
            statement = pass(query)
          } catch (error) {
            expect(error).toBeInstanceOf(RefusedQuery)
            return
          }
          expect(pass(statement)).toBe(statement)
          const { tokens } = scan(statement)
          expect(tokens.some((t) => t.kind === 'symbol' && t.text === ';')).toBe(false)
          expect(tokens.some((t) => t.kind === 'word' && /^(into|drop|delete)$/i.test(t.text))).toBe(false)
        },
      ),
      { numRuns: 3_000 },
    )
  })

  it('finds the same strings, however they are quoted', () => {
    const quoted = (value: string) => `'${value.replace(/[\\']/g, '\\$&').replaceAll('\n', '\\n')}'`
    fc.assert(
      fc.property(fc.string(), (value) => {
        expect(scan(`SELECT a FROM b WHERE c = ${quoted(value)}`).tokens.at(-1)).toEqual({
          kind: 'string',
          text: value,
        })
      }),
    )
  })
})
