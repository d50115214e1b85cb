/**
 * Every folder here is a case: `case.yaml` (what happens), perhaps a CSV file, and `expected.yaml` (every verdict and every
 * transition; of fields that it names also every window). A new case needs no code: write `case.yaml`, run with CASES=write, read what was written, commit it.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { readContracts } from '@tributary/protocol'
import { loadConfig } from '@tributary/runtime'
import { expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { caseSchema } from './case-schema.ts'
import { runCase } from './run-case.ts'
import { windowsOfCase } from './windows-of-case.ts'

const here = new URL('.', import.meta.url).pathname
const folders = (await readdir(here, { withFileTypes: true })).filter((entry) => entry.isDirectory())
const contracts = await readContracts(new URL('../../../contracts', import.meta.url).pathname)

test('there are cases', () => {
  expect(folders.length).toBeGreaterThanOrEqual(5)
})

for (const { name } of folders)
  test(`case ${name}`, async () => {
    const folder = `${here}${name}`
    const given = await loadConfig(`${folder}/case.yaml`, caseSchema)
    const contract = contracts.get(given.kind)
    if (contract === undefined) throw new Error(`${name}/case.yaml: there is no contract for the kind "${given.kind}"`)
    const csv = given.csv === undefined ? undefined : await readFile(`${folder}/${given.csv}`, 'utf8')
    const windows = windowsOfCase(given, contract, csv)
    const outcome = { ...runCase(given, contract, csv), ...(windows.length > 0 ? { windows } : {}) }
    if (process.env['CASES'] === 'write')
      await writeFile(`${folder}/expected.yaml`, stringify(outcome, { lineWidth: 0 }))
    expect(outcome).toEqual(parse(await readFile(`${folder}/expected.yaml`, 'utf8')))
  })
