/**
 * Guarantee: behind `hide` and `hideRollup` there is no value of a sensitive field. `step` hands blocks on through them alone, so that
 * neither store nor window, state, dead letter, log, anomaly or notification can have one.
 *
 * What is known of a field's sensitivity is its name: in samples of a kind without a contract, and of a field that is not its
 * contract's, the strictest word of any contract about that name counts, whatever unit it ends in and in whatever case it is written. What cannot be read field by field (a line that the edge could
 * not parse, a batch that cannot be decoded) may hold anything: its original is withheld while any contract has a sensitive field.
 */
import { createHmac } from 'node:crypto'
import {
  type Contract,
  type Contracts,
  type DeviceBlock,
  type FieldColumn,
  nameWithoutUnit,
  type RollupBlock,
  type RollupColumn,
  type Sensitivity,
} from '@tributary/protocol'

export const MASKED = '***'
/** Hexadecimal digits of a hash: 96 bits. The sign before them tells it from values that look alike (keys of databases have 24 digits, too). */
const HASH_DIGITS = 24
const HASH_SIGN = '#'
/** Values whose hash is remembered. */
const HASHES_MAX = 10_000
/** The stricter, the later. */
const STRICTNESS: readonly Sensitivity[] = ['none', 'hash', 'mask', 'drop']

export interface PrivacyOptions {
  /** For `hash`. */
  readonly hashKey?: string | undefined
  /** Originals that cannot be read field by field are kept although contracts have sensitive fields. */
  readonly keepOriginals?: boolean | undefined
}

export interface Privacy {
  sensitivityOf(kind: string, field: string): Sensitivity
  /** The same block with text instead of sensitive values, column by column; itself when nothing in it is sensitive. Dropped values are ''. */
  hide(block: DeviceBlock): DeviceBlock
  hideRollup(block: RollupBlock): RollupBlock
  /** Whether originals that cannot be read field by field must not be told. */
  readonly withholdsOriginals: boolean
}

export const needsHashKey = (contracts: Contracts): boolean =>
  [...contracts.values()].some(({ fields }) => Object.values(fields).some(({ sensitivity }) => sensitivity === 'hash'))

/** Of a field of a kind; the strictest word about its name where its contract has none. */
export function sensitivitiesOf(contracts: Contracts): (kind: string, field: string) => Sensitivity {
  const byName = strictestByName(contracts)
  return (kind, field) => sensitivityOf(contracts.get(kind), byName, field)
}

/** By names in small letters, with their units and without. */
function strictestByName(contracts: Contracts): Map<string, Sensitivity> {
  const byName = new Map<string, Sensitivity>()
  for (const { fields } of contracts.values())
    for (const [name, { sensitivity }] of Object.entries(fields))
      for (const one of [name, withoutUnit(name)])
        if (STRICTNESS.indexOf(sensitivity) > STRICTNESS.indexOf(byName.get(one) ?? 'none'))
          byName.set(one, sensitivity)
  return byName
}

/** No name of a field ends so. */
const withoutUnit = (name: string): string => `${nameWithoutUnit(name) ?? name}_*`

function sensitivityOf(
  contract: Contract | undefined,
  byName: ReadonlyMap<string, Sensitivity>,
  field: string,
): Sensitivity {
  if (contract !== undefined && Object.hasOwn(contract.fields, field))
    return contract.fields[field]?.sensitivity as Sensitivity
  const name = field.toLowerCase()
  return byName.get(name) ?? byName.get(withoutUnit(name)) ?? 'none'
}

const HASH = new RegExp(`^${HASH_SIGN}[0-9a-f]{${HASH_DIGITS}}$`)
/** Whether text from the store can be what stands there instead of a value. */
export const isHidden = (sensitivity: Sensitivity, text: unknown): boolean =>
  typeof text === 'string' && (sensitivity === 'mask' ? text === MASKED : sensitivity === 'hash' && HASH.test(text))

/** @throws Error when values are to be hashed, and there is no key */
export function createPrivacy(contracts: Contracts, { hashKey, keepOriginals = false }: PrivacyOptions = {}): Privacy {
  if (hashKey === undefined && needsHashKey(contracts)) throw new Error('there is no key for hashes')
  const byName = strictestByName(contracts)
  const hashes = new Map<string, string>()
  const hashOf = (value: string): string => {
    let hash = hashes.get(value)
    if (hash === undefined) {
      const digits = createHmac('sha256', hashKey as string)
        .update(value, 'utf8')
        .digest('hex')
        .slice(0, HASH_DIGITS)
      hash = `${HASH_SIGN}${digits}`
      if (hashes.size >= HASHES_MAX) hashes.clear()
      hashes.set(value, hash)
    }
    return hash
  }
  const instead: Record<Sensitivity, (value: string) => string> = {
    none: (value) => value,
    hash: hashOf,
    mask: () => MASKED,
    drop: () => '',
  }
  const sensitivityIn = (contract: Contract | undefined, field: string) => sensitivityOf(contract, byName, field)
  const anyIn = (kind: string, columns: readonly { readonly field: string }[]): Contract | undefined | null => {
    if (byName.size === 0) return null
    const contract = contracts.get(kind)
    return columns.some(({ field }) => sensitivityIn(contract, field) !== 'none') ? contract : null
  }
  return {
    sensitivityOf: (kind, field) => sensitivityIn(contracts.get(kind), field),
    hide(block) {
      const contract = anyIn(block.kind, block.columns)
      if (contract === null) return block
      return {
        ...block,
        columns: block.columns.map((column): FieldColumn => {
          const sensitivity = sensitivityIn(contract, column.field)
          if (sensitivity === 'none') return column
          const { field, present } = column
          const isPresent = (i: number) => present === null || present[i] === 1
          const values = Array.from(column.values as ArrayLike<number | string>, (value, i) =>
            isPresent(i) ? instead[sensitivity](textOf(column.type, value)) : '',
          )
          return { field, present, type: 'string', values }
        }),
      }
    },
    hideRollup(block) {
      const contract = anyIn(block.kind, block.columns)
      if (contract === null) return block
      return {
        ...block,
        columns: block.columns.map((column): RollupColumn => {
          const sensitivity = sensitivityIn(contract, column.field)
          if (sensitivity === 'none') return column
          const { field, counts, lastOffsetsMs } = column
          const lasts = Array.from(column.lasts as ArrayLike<number | string>, (value) =>
            instead[sensitivity](textOf(column.type, value)),
          )
          return { field, counts, lastOffsetsMs, type: 'string', lasts }
        }),
      }
    },
    withholdsOriginals: byName.size > 0 && !keepOriginals,
  }
}

/** The same text for the same value, whatever it travelled as: `true`, `4711`, `B-12`. */
const textOf = (type: FieldColumn['type'], value: number | string): string =>
  type === 'boolean' ? String(value === 1) : String(value)
