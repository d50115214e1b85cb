/**
 * The Markdown that our text panels use: paragraphs, headings, lists, bold, italic, code and links. It is read into a tree, so
 * that nothing in a text ever becomes HTML by itself.
 */
import { isSafeUrl } from './links.ts'

export type Inline =
  | { readonly kind: 'text' | 'bold' | 'italic' | 'code'; readonly text: string }
  | { readonly kind: 'link'; readonly text: string; readonly url: string }
export type Block =
  | { readonly kind: 'paragraph'; readonly parts: readonly Inline[] }
  | { readonly kind: 'heading'; readonly level: number; readonly parts: readonly Inline[] }
  | { readonly kind: 'list'; readonly isOrdered: boolean; readonly items: readonly (readonly Inline[])[] }

const HEADING = /^(#{1,4}) +(.+)$/
const ITEM = /^ {0,3}(?:[-*]|(\d+)\.) +(.+)$/
const INLINE = /\*\*(.+?)\*\*|(?<![\w*])\*([^*\s](?:[^*]*[^*\s])?)\*(?![\w*])|`([^`]+)`|\[([^\]]+)\]\(([^)\s]+)\)/g
/** What a reader of Markdown would take for something else than text. */
const BEYOND: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/<\/?[a-z][^>]*>/i, 'HTML'],
  [/!\[[^\]]*\]\(/, 'an image'],
  [/^\s*\|.*\|\s*$/m, 'a table'],
  [/^(```|~~~| {4}\S)/m, 'a block of code'],
  [/^>/m, 'a quotation'],
  [/^ {2,}(?:[-*]|\d+\.) /m, 'a list in a list'],
  [/^(-{3,}|\*{3,})$/m, 'a rule'],
]

/** Names of what the viewer does not draw. */
export const unknownMarkdown = (content: string): string[] => [
  ...BEYOND.filter(([pattern]) => pattern.test(content)).map(([, name]) => name),
  ...[...content.matchAll(INLINE)].flatMap(([, , , , , url]) =>
    url && !isSafeUrl(url) && !url.startsWith('$') ? [`a link to ${url}`] : [],
  ),
]

export function parseMarkdown(content: string): Block[] {
  return content
    .replaceAll('\r\n', '\n')
    .split(/\n{2,}|(?<=\n)(?=#{1,4} )|(?<=^#{1,4} .*)\n/m)
    .map((block) => block.trim())
    .filter((block) => block !== '')
    .flatMap(blocksOf)
}

/** A paragraph may be followed by a list without an empty line between. */
function blocksOf(text: string): Block[] {
  const heading = HEADING.exec(text)
  if (heading) return [{ kind: 'heading', level: heading[1]?.length ?? 1, parts: parseInline(heading[2] ?? '') }]
  const lines = text.split('\n')
  const start = lines.findIndex((line) => ITEM.test(line))
  if (start === -1) return [{ kind: 'paragraph', parts: parseInline(lines.join(' ')) }]
  const items: string[] = []
  for (const line of lines.slice(start)) {
    const item = ITEM.exec(line)
    if (item) items.push(item[2] ?? '')
    else items.push(`${items.pop()} ${line.trim()}`)
  }
  const isOrdered = ITEM.exec(lines[start] ?? '')?.[1] !== undefined
  return [
    ...(start > 0 ? blocksOf(lines.slice(0, start).join('\n')) : []),
    { kind: 'list', isOrdered, items: items.map(parseInline) },
  ]
}

export function parseInline(text: string): Inline[] {
  const parts: Inline[] = []
  let at = 0
  for (const match of text.matchAll(INLINE)) {
    const [whole, bold, italic, code, label, url] = match
    if (match.index > at) parts.push({ kind: 'text', text: text.slice(at, match.index) })
    if (bold !== undefined) parts.push({ kind: 'bold', text: bold })
    else if (italic !== undefined) parts.push({ kind: 'italic', text: italic })
    else if (code !== undefined) parts.push({ kind: 'code', text: code })
    else if (label !== undefined && url !== undefined)
      parts.push(isSafeUrl(url) ? { kind: 'link', text: label, url } : { kind: 'text', text: label })
    at = match.index + whole.length
  }
  if (at < text.length) parts.push({ kind: 'text', text: text.slice(at) })
  return parts
}
