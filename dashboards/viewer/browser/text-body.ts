import { fillText, listed } from '../../src/rendering/macros.ts'
import { type Inline, parseMarkdown } from '../../src/rendering/markdown.ts'
import { anchor, element } from './dom.ts'
import type { PanelBody } from './panel-body.ts'

/** Markdown, with the variables filled in. */
export function textBody(container: HTMLElement): PanelBody {
  const root = element('div', { className: 'prose' })
  let shown: string | undefined
  container.append(root)
  return {
    draw({ panel, variables }) {
      const content = fillText(panel.options?.content ?? '', variables, listed)
      if (content === shown) return true
      shown = content
      root.replaceChildren(
        ...parseMarkdown(content).map((block) => {
          if (block.kind === 'heading')
            return element(`h${Math.min(6, block.level + 2)}` as 'h3', {}, ...inline(block.parts))
          if (block.kind === 'paragraph') return element('p', {}, ...inline(block.parts))
          const items = block.items.map((item) => element('li', {}, ...inline(item)))
          return element(block.isOrdered ? 'ol' : 'ul', {}, ...items)
        }),
      )
      return true
    },
    destroy: () => root.remove(),
  }
}

const TAGS = { bold: 'strong', italic: 'em', code: 'code' } as const
const inline = (parts: readonly Inline[]): (Node | string)[] =>
  parts.map((part) => {
    if (part.kind === 'text') return part.text
    if (part.kind !== 'link') return element(TAGS[part.kind], {}, part.text)
    return anchor({ href: part.url, title: '', isNewPage: /^https?:/.test(part.url) }, part.text)
  })
