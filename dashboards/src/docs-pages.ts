/** The documents that panels and rows link to, above all the runbook, as pages of the viewer: whoever is on call may have no other way to them. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { errorCode } from '@tributary/runtime'
import { documentHtml } from './markdown-html.ts'

const inRepository = fileURLToPath(new URL('../../docs/', import.meta.url))
const besideBundle = fileURLToPath(new URL('./docs/', import.meta.url))
export const docsFolder = existsSync(besideBundle) ? besideBundle : inRepository

/** One name, no path: nothing outside of the folder can be asked for. */
const NAME = /^[a-z0-9][a-z0-9-]*\.md$/

/** @param name such as `runbook.md`. @returns HTML; undefined when there is no such document */
export async function docsPage(name: string, folder = docsFolder): Promise<string | undefined> {
  if (!NAME.test(name)) return undefined
  const markdown = await readFile(join(folder, name), 'utf8').catch((error) => {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  })
  return markdown === undefined ? undefined : pageOf(documentHtml(markdown), /^# +(.+)$/m.exec(markdown)?.[1] ?? name)
}

const pageOf = (body: string, title: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark light">
<title>${title.replaceAll('<', '&lt;')} · Tributary</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/assets/docs.css">
</head>
<body>
<nav><a href="/">Dashboards</a></nav>
<main>
${body}
</main>
</body>
</html>
`
