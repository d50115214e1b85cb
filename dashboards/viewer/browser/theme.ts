import type { Theme } from '../../src/rendering/colours.ts'

const KEY = 'tributary-theme'
const dark = matchMedia('(prefers-color-scheme: dark)')

export interface ThemeSwitch {
  readonly current: Theme
  toggle(): void
}

/** The reader's choice, else the address's, else the system's; tells when it changes. */
export function createThemeSwitch(fromAddress: Theme | undefined, onChange: () => void): ThemeSwitch {
  const kept = localStorage.getItem(KEY)
  let chosen: Theme | undefined = fromAddress ?? (kept === 'dark' || kept === 'light' ? kept : undefined)
  const current = (): Theme => chosen ?? (dark.matches ? 'dark' : 'light')
  const apply = () => {
    document.documentElement.dataset['theme'] = current()
    onChange()
  }
  dark.addEventListener('change', apply)
  document.documentElement.dataset['theme'] = current()
  return {
    get current() {
      return current()
    },
    toggle() {
      chosen = current() === 'dark' ? 'light' : 'dark'
      localStorage.setItem(KEY, chosen)
      apply()
    },
  }
}
