/** Topic patterns: an MQTT filter in which a whole level may be `{device}` or `{field}`. */

export type TopicPattern = { readonly levels: readonly string[]; readonly filter: string }
export type TopicMatch = { readonly device: string | undefined; readonly field: string | undefined }

const NAMED = ['{device}', '{field}']

export function parseTopicPattern(pattern: string): TopicPattern | { readonly mistake: string } {
  const levels = pattern.split('/')
  if (pattern === '' || Buffer.byteLength(pattern) > 1_024) return { mistake: 'must have between 1 and 1024 bytes' }
  for (const [i, level] of levels.entries()) {
    if (NAMED.includes(level)) {
      if (levels.indexOf(level) < i) return { mistake: `has ${level} twice` }
    } else if (/[{}]/.test(level)) return { mistake: `"${level}" must be {device} or {field}, as a whole level` }
    else if (level.includes('#') && (level !== '#' || i < levels.length - 1))
      return { mistake: '"#" must be the last level, alone' }
    else if (level.includes('+') && level !== '+') return { mistake: '"+" must be a whole level' }
    else if (level.includes('\0')) return { mistake: 'must not contain a zero byte' }
  }
  return { levels, filter: filterOf(pattern) }
}

export const filterOf = (pattern: string): string =>
  pattern
    .split('/')
    .map((level) => (NAMED.includes(level) ? '+' : level))
    .join('/')

/** @returns undefined when the topic is not one of the pattern's */
export function matchTopic({ levels }: TopicPattern, topic: string): TopicMatch | undefined {
  const parts = topic.split('/')
  const open = levels.at(-1) === '#'
  if (open ? parts.length < levels.length - 1 : parts.length !== levels.length) return undefined
  let device: string | undefined
  let field: string | undefined
  for (const [i, level] of levels.entries()) {
    if (level === '#') break
    if (level === '{device}') device = parts[i]
    else if (level === '{field}') field = parts[i]
    else if (level !== '+' && level !== parts[i]) return undefined
  }
  return { device, field }
}

/** Whether a topic could match both. */
export function overlap(left: string, right: string): boolean {
  const a = filterOf(left).split('/')
  const b = filterOf(right).split('/')
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    if (a[i] === '#' || b[i] === '#') return true
    if (a[i] === undefined || b[i] === undefined) return a[i] === undefined ? b[i] === '#' : a[i] === '#'
    if (a[i] !== b[i] && a[i] !== '+' && b[i] !== '+') return false
  }
  return true
}
