/** What a piece of JSON may look like. A shape names, with its path, whatever goes beyond it. */

export type Shape = (value: unknown, path: string, found: string[]) => void

const refused = (value: unknown, path: string) => `${path} ${JSON.stringify(value)}`

export const anything: Shape = () => undefined

const ofType =
  (...types: readonly string[]): Shape =>
  (value, path, found) => {
    if (!types.includes(typeof value)) found.push(refused(value, path))
  }
export const text = ofType('string')
export const number = ofType('number')
export const yesOrNo = ofType('boolean')

export const oneOf =
  (...known: readonly unknown[]): Shape =>
  (value, path, found) => {
    if (!known.includes(value)) found.push(refused(value, path))
  }

/** @param isKnown of a text */
export const textThat =
  (isKnown: (value: string) => boolean): Shape =>
  (value, path, found) => {
    if (typeof value !== 'string' || !isKnown(value)) found.push(refused(value, path))
  }

export const either =
  (...shapes: readonly Shape[]): Shape =>
  (value, path, found) => {
    const complaints = shapes.map((shape) => {
      const own: string[] = []
      shape(value, path, own)
      return own
    })
    if (complaints.every((own) => own.length > 0)) found.push(...(complaints[0] as string[]))
  }

export const listOf =
  (shape: Shape): Shape =>
  (value, path, found) => {
    if (!Array.isArray(value)) found.push(refused(value, path))
    else value.forEach((item, i) => void shape(item, `${path}[${i}]`, found))
  }

export const mapOf =
  (shape: Shape): Shape =>
  (value, path, found) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) found.push(refused(value, path))
    else for (const [key, item] of Object.entries(value)) shape(item, `${path}.${key}`, found)
  }

export type Fields = Readonly<Record<string, Shape>>

/** An object with these fields and no others; none is required. */
export const object =
  (fields: Fields): Shape =>
  (value, path, found) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      found.push(refused(value, path))
      return
    }
    for (const [key, item] of Object.entries(value)) {
      const inner = path === '' ? key : `${path}.${key}`
      if (item === undefined) continue
      const shape = Object.hasOwn(fields, key) ? fields[key] : undefined
      if (shape) shape(item, inner, found)
      else found.push(inner)
    }
  }

/** What the shape has against the value. */
export function complaints(shape: Shape, value: unknown): string[] {
  const found: string[] = []
  shape(value, '', found)
  return found
}
