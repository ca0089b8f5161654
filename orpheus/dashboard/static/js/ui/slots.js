/**
 * Fills the `data-f` slots of server-made markup. This is the only place where data becomes DOM, and it
 * writes text and a few attributes, never markup. Unchanged slots are not touched.
 */

import { showBadge } from './badge.js'
import { setAttribute, setText } from './dom.js'
import { showTime } from './times.js'

/**
 * null and '' hide a slot, text fills it; `{time}`, `{badge}`, `{value}` and `{show}` are for the
 * elements that need more; `{text, href, title}` for links.
 * @typedef {{time?: string | null, badge?: string, value?: number | null, show?: boolean,
 *   text?: string, href?: string, title?: string}} Rich
 * @typedef {string | number | null | Rich} Value
 */

/**
 * Rows own their slots: filling something that contains rows (`data-key`) leaves theirs alone.
 * @param {Element} root
 * @param {Record<string, Value>} values by slot name; slots not named stay as they are
 */
export function fill(root, values) {
  const row = root.closest('[data-key]')
  for (const slot of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll('[data-f]'))) {
    const name = /** @type {string} */ (slot.dataset.f)
    if (name in values && slot.closest('[data-key]') === row) put(slot, values[name])
  }
}

/** @param {HTMLElement} slot @param {Value} value */
function put(slot, value) {
  if (value === null || typeof value !== 'object') {
    const text = value === null ? '' : String(value)
    setText(slot, text)
    setHidden(slot, text === '')
    return
  }
  if (value.badge !== undefined) showBadge(slot, value.badge)
  if (value.time !== undefined) showTime(slot, value.time)
  if (value.show !== undefined) setHidden(slot, !value.show)
  if (value.value !== undefined) setProgress(/** @type {HTMLProgressElement} */ (slot), value.value)
  if (value.text !== undefined) setText(slot, value.text)
  if (value.href !== undefined) setAttribute(slot, 'href', value.href)
  if (value.title !== undefined) setAttribute(slot, 'title', value.title)
}

/** @param {HTMLElement} element @param {boolean} hidden */
function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden
}

/** @param {HTMLProgressElement} bar @param {number | null} value */
function setProgress(bar, value) {
  setAttribute(bar, 'value', String(value ?? 0))
  setHidden(bar, value === null)
}
