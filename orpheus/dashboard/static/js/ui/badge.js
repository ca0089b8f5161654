/** Shows a word for a state in a badge: icon, label and, through `data-state`, colour. */

import { setAttribute, setText } from './dom.js'
import { label } from './format.js'

/** @param {HTMLElement} badge @param {string} state */
export function showBadge(badge, state) {
  if (badge.dataset.state === state) return
  badge.dataset.state = state
  const [use, words] = [badge.querySelector('use'), badge.querySelector('span')]
  if (use) setAttribute(use, 'href', `#i-${state}`)
  if (words) setText(words, label(state))
}
