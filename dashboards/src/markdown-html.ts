/**
 * Our own documents as HTML, for the viewer: headings, paragraphs, lists, tables, code, links. Guarantee: no byte of the document
 * becomes markup of its own; everything but the tags made here is escaped, and links lead to the web or to a place on this server.
 */
import { isSafeUrl } from './rendering/links.ts'
import { anchorOf } from './runbook.ts'

const escaped = (text: string): string =>
  text.replace(
    /[&<>"]/g,
    (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[character] as string,
  )

const INLINE =
  /`([^`]+)`|\[((?:`[^`]*`|[^\]`])+)\]\(([^)\s]+)\)|\*\*(.+?)\*\*|(?<![\w*])\*([^*\s](?:[^*]*[^*\s])?)\*(?![\w*])/g

/** To another document, to a heading, or out. */
const isFollowed = (url: string): boolean => isSafeUrl(url) || /^[\w.-]+\.md(#[\w-]*)?$/.test(url)

export function inlineHtml(text: string): string {
  let html = ''
  let at = 0
  for (const match of text.matchAll(INLINE)) {
    const [whole, code, label, url, bold, italic] = match
    html += escaped(text.slice(at, match.index))
    if (code !== undefined) html += `<code>${escaped(code)}</code>`
    else if (label !== undefined && url !== undefined)
      html += isFollowed(url) ? `<a href="${escaped(url)}">${inlineHtml(label)}</a>` : inlineHtml(label)
    else if (bold !== undefined) html += `<strong>${inlineHtml(bold)}</strong>`
    else html += `<em>${inlineHtml(italic ?? '')}</em>`
    at = match.index + whole.length
  }
  return html + escaped(text.slice(at))
}

const FENCE = /^```/
const HEADING = /^(#{1,6}) +(.+?) *$/
const ITEM = /^(?:[-*]|(\d+)\.) +(.*)$/
const ROW = /^\|(.*)\|$/
const RULE = /^\|[\s:|-]+\|$/

/** A bar in code or behind a backslash parts no cells. */
const cellsOf = (row: string): string[] =>
  [...row.matchAll(/(?:`[^`]*`|\\\||[^|`])+/g)].map(([cell]) => cell.replaceAll('\\|', '|').trim())

export function documentHtml(markdown: string): string {
  const lines = markdown.replaceAll('\r\n', '\n').split('\n')
  const parts: string[] = []
  let at = 0
  const takeWhile = (isTaken: (line: string) => boolean): string[] => {
    const from = at
    while (at < lines.length && isTaken(lines[at] as string)) at++
    return lines.slice(from, at)
  }
  while (at < lines.length) {
    const line = lines[at] as string
    const heading = HEADING.exec(line)
    if (line.trim() === '') at++
    else if (FENCE.test(line)) {
      at++
      const code = takeWhile((next) => !FENCE.test(next))
      at++
      parts.push(`<pre><code>${escaped(code.join('\n'))}</code></pre>`)
    } else if (heading) {
      at++
      const [, marks = '', text = ''] = heading
      parts.push(`<h${marks.length} id="${escaped(anchorOf(text))}">${inlineHtml(text)}</h${marks.length}>`)
    } else if (ROW.test(line)) parts.push(tableHtml(takeWhile((next) => ROW.test(next))))
    else if (ITEM.test(line)) parts.push(listHtml(takeWhile((next) => ITEM.test(next) || /^\s+\S/.test(next))))
    else
      parts.push(
        `<p>${takeWhile((next) => isText(next))
          .map(inlineHtml)
          .join('\n')}</p>`,
      )
  }
  return parts.join('\n')
}

const isText = (line: string): boolean =>
  line.trim() !== '' && ![FENCE, HEADING, ROW, ITEM].some((pattern) => pattern.test(line))

function tableHtml(rows: readonly string[]): string {
  const hasHead = RULE.test(rows[1] ?? '')
  const line = (row: string, tag: 'th' | 'td') =>
    `<tr>${cellsOf(ROW.exec(row)?.[1] ?? '')
      .map((cell) => `<${tag}>${inlineHtml(cell)}</${tag}>`)
      .join('')}</tr>`
  const head = hasHead ? `<thead>${line(rows[0] as string, 'th')}</thead>` : ''
  const body = rows.slice(hasHead ? 2 : 0).map((row) => line(row, 'td'))
  return `<table>${head}<tbody>${body.join('')}</tbody></table>`
}

/** What is indented goes on with the item before it. */
function listHtml(lines: readonly string[]): string {
  const items: string[] = []
  for (const line of lines) {
    const item = ITEM.exec(line)
    items.push(item ? (item[2] ?? '') : `${items.pop() ?? ''} ${line.trim()}`)
  }
  const tag = ITEM.exec(lines[0] as string)?.[1] === undefined ? 'ul' : 'ol'
  return `<${tag}>${items.map((item) => `<li>${inlineHtml(item)}</li>`).join('')}</${tag}>`
}
