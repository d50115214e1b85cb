import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { docsFolder, docsPage } from './docs-pages.ts'
import { documentHtml } from './markdown-html.ts'

describe('documentHtml', () => {
  it('makes headings that can be linked to, paragraphs, lists, code and tables', () => {
    expect(documentHtml('# Missing > 0 in the ledger\none\ntwo\n\n- a\n  more\n- **b** and *c*\n\n2. x')).toBe(
      '<h1 id="missing--0-in-the-ledger">Missing &gt; 0 in the ledger</h1>\n<p>one\ntwo</p>\n' +
        '<ul><li>a more</li><li><strong>b</strong> and <em>c</em></li></ul>\n<ol><li>x</li></ol>',
    )
    expect(documentHtml('```sh\na | b\n# no heading\n```')).toBe('<pre><code>a | b\n# no heading</code></pre>')
    expect(documentHtml('| a | b |\n|---|---|\n| `x | y` | \\| |')).toBe(
      '<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td><code>x | y</code></td><td>|</td></tr></tbody></table>',
    )
  })

  it('lets nothing of a document become markup, and follows no script', () => {
    const hostile = '<script>alert(1)</script> `<b>` [<i>](javascript:alert(1)) [x](https://a.b/?q="><u>) [y](//evil)'
    const html = documentHtml(hostile)
    expect(html.match(/<[a-z]+/g)).toEqual(['<p', '<code', '<a'])
    expect(html).not.toContain('javascript')
    expect(html).toContain('href="https://a.b/?q=&quot;&gt;&lt;u&gt;"')
  })

  it('takes every document that we have: each heading is there, no table or link is left as text', async () => {
    for (const name of (await readdir(docsFolder)).filter((file) => file.endsWith('.md'))) {
      const page = (await docsPage(name)) ?? ''
      const source = (await readFile(join(docsFolder, name), 'utf8')).replace(/^```[\s\S]*?^```/gm, '')
      const count = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].length
      expect(count(page, /<h[1-6] id=/g), name).toBe(count(source, /^#{1,6} /gm))
      const words = page.replace(/<(pre|code)>[\s\S]*?<\/\1>/g, '').replace(/<[^>]+>/g, '')
      expect(words.match(/\]\(|\|---|\*\*/g), name).toBeNull()
    }
  })
})

it('a document is asked for by its name, and nothing else is', async () => {
  expect(await docsPage('runbook.md')).toContain('<title>Runbook · Tributary</title>')
  for (const name of ['gone.md', '../README.md', 'images/fleet.png', '.hidden.md', 'adr/x.md', ''])
    expect(await docsPage(name), name).toBeUndefined()
})
