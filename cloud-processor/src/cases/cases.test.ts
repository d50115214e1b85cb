/**
 * Every folder of `cloud-processor/cases/` is a case: `case.yaml` (what happens), perhaps a CSV file, and `expected.yaml` (every verdict
 * and every transition, or of a stream of batches the account and the windows). A new case needs no code: write `case.yaml`, run with
 * CASES=write, read what was written, commit it.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { type Contract, contractSchema, readContracts } from '@tributary/protocol'
import { loadConfig } from '@tributary/runtime'
import { expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { caseSchema } from './case-schema.ts'
import { runCase } from './run-case.ts'
import { runStreamCase } from './run-stream-case.ts'
import { streamCaseSchema } from './stream-case.ts'
import { windowsOfCase } from './windows-of-case.ts'

const here = new URL('../../cases/', import.meta.url).pathname
const folders = (await readdir(here, { withFileTypes: true })).filter((entry) => entry.isDirectory())
const contracts = await readContracts(new URL('../../../contracts', import.meta.url).pathname)

test('there are cases', () => {
  expect(folders.length).toBeGreaterThanOrEqual(20)
})

function contractOf(kind: string): Contract {
  const contract = contracts.get(kind)
  if (contract === undefined) throw new Error(`there is no contract for the kind "${kind}"`)
  return contract
}

/** With other detectors than it was shipped with. */
async function withDetectors(kind: string, detectors: object): Promise<Contract> {
  const text = await readFile(new URL(`../../../contracts/${kind}.yaml`, import.meta.url), 'utf8')
  return contractSchema.parse({ ...parse(text), detectors })
}

async function outcomeOf(folder: string): Promise<object> {
  const file = `${folder}/case.yaml`
  if ('batches' in (parse(await readFile(file, 'utf8')) as object)) {
    const given = await loadConfig(file, streamCaseSchema)
    return runStreamCase(given, contractOf(given.kind))
  }
  const given = await loadConfig(file, caseSchema)
  const contract = given.detectors ? await withDetectors(given.kind, given.detectors) : contractOf(given.kind)
  const csv = given.csv === undefined ? undefined : await readFile(`${folder}/${given.csv}`, 'utf8')
  const windows = windowsOfCase(given, contract, csv)
  return { ...runCase(given, contract, csv), ...(windows.length > 0 ? { windows } : {}) }
}

for (const { name } of folders)
  test(`case ${name}`, async () => {
    const folder = `${here}${name}`
    const outcome = await outcomeOf(folder)
    if (process.env['CASES'] === 'write')
      await writeFile(`${folder}/expected.yaml`, stringify(outcome, { lineWidth: 0 }))
    expect(outcome).toEqual(parse(await readFile(`${folder}/expected.yaml`, 'utf8')))
  })
