/** InfluxDB's answer to one statement, put together from its pieces: one JSON a line. */

interface AnswerSeries {
  readonly name?: string
  readonly tags?: Readonly<Record<string, string>>
  readonly columns?: readonly string[]
  readonly values?: readonly unknown[]
}
export interface InfluxAnswer {
  readonly error?: string
  readonly message?: string
  readonly results?: readonly { readonly error?: string; readonly series?: readonly AnswerSeries[] }[]
}

/** @returns undefined when a piece is no JSON. The error of any piece is the error of all. */
export function joinedAnswer(text: string): InfluxAnswer | undefined {
  const pieces = text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(parsed)
  const [first] = pieces
  if (!first || pieces.some((piece) => piece === undefined)) return undefined
  const failed = pieces.find((piece) => errorOf(piece) !== undefined)
  if (failed ?? pieces.length === 1) return failed ?? first
  const series: { -readonly [K in keyof AnswerSeries]: AnswerSeries[K] }[] = []
  const all = pieces.flatMap((piece) => piece?.results ?? []).flatMap((result) => result.series ?? [])
  for (const { name, tags, columns, values = [] } of all) {
    const last = series.at(-1)
    const isSame =
      last && last.name === name && JSON.stringify([last.tags, last.columns]) === JSON.stringify([tags, columns])
    if (isSame) last.values = [...(last.values ?? []), ...values]
    else
      series.push({
        ...(name === undefined ? {} : { name }),
        ...(tags ? { tags } : {}),
        ...(columns ? { columns } : {}),
        values,
      })
  }
  return { results: [{ series }] }
}

export const errorOf = (answer: InfluxAnswer | undefined): string | undefined =>
  answer?.error ?? answer?.message ?? answer?.results?.find((result) => result.error)?.error

function parsed(text: string): InfluxAnswer | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as InfluxAnswer) : undefined
  } catch {
    return undefined
  }
}
