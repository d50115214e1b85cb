/** The only page that is shown to whoever has no session: no script, nothing from elsewhere. */
const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: light-dark(#f4f5f7, #111418); color: light-dark(#16191d, #e6e9ed); }
form { display: grid; gap: .75rem; width: min(20rem, calc(100vw - 3rem)); }
h1 { font-size: 1.25rem; margin: 0 0 .5rem; }
label { display: grid; gap: .25rem; font-size: .875rem; }
input, button { font: inherit; padding: .6rem .7rem; border-radius: 6px; border: 1px solid light-dark(#8a929c, #5b646f); background: light-dark(#fff, #1b2027); color: inherit; }
button { background: #1a5fb4; border-color: #1a5fb4; color: #fff; cursor: pointer; }
:focus-visible { outline: 2px solid #1a5fb4; outline-offset: 2px; }
[role=alert] { margin: 0; padding: .5rem .7rem; border-left: 4px solid #c0392b; background: light-dark(#fbe9e7, #3a1d1a); }`

export function loginPage(title: string, complaint: string): string {
  const said = complaint ? `<p role="alert">${escaped(complaint)}</p>` : ''
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title><style>${STYLE}</style>
<form method="post" action="/login"><h1>${escaped(title)}</h1>${said}
<label>User<input name="user" value="admin" autocomplete="username" required></label>
<label>Password<input name="password" type="password" autocomplete="current-password" autofocus required></label>
<button>Log in</button></form></html>
`
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
const escaped = (text: string) => text.replace(/[&<>"]/g, (character) => ENTITIES[character] as string)
