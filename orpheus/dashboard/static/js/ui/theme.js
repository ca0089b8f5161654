/** Auto, light or dark, kept in a cookie so that the server's first paint is right already. */

import { label } from './format.js'

const THEMES = ['auto', 'light', 'dark']
const YEAR_SECONDS = 31_536_000

export function startThemeSwitch() {
  const button = document.querySelector('[data-theme-switch]')
  button?.addEventListener('click', () => {
    const root = document.documentElement
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? 'auto') + 1) % THEMES.length]
    root.dataset.theme = next
    document.cookie = `orpheus_theme=${next}; path=/; max-age=${YEAR_SECONDS}; samesite=lax`
    const words = `Theme: ${label(next).toLowerCase()}`
    button.setAttribute('title', words)
    button.querySelector('use')?.setAttribute('href', `#i-${next}`)
    const name = button.querySelector('span')
    if (name) name.textContent = words
  })
}
