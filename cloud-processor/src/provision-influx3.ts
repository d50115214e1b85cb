/** 3: one database. It has no retention policies: windows lie beside the raw data, and the retention is that of the database. */

import { type ProvisionPlace, unlessMade } from './influx-place.ts'
import { makeMissing } from './make-missing.ts'

const PATH = '/api/v3/configure/database'

export const provisionInflux3: ProvisionPlace = async ({ database, rollupRetention }, ask, dryRun, note) => {
  const rows = JSON.parse((await ask('GET', `${PATH}?format=json`)).body) as Record<string, unknown>[]
  const exists = rows.some((row) => Object.values(row).includes(database))
  const difference =
    rollupRetention === undefined
      ? ''
      : 'InfluxDB 3 has one retention for the whole database: take influx.rollup_retention out of the config'
  const make = () => unlessMade(ask('POST', PATH, { json: { db: database } }))
  note(await makeMissing({ place: 'influxdb', what: 'database', name: database }, { exists, difference, dryRun, make }))
}
