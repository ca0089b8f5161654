/** Makes a list of server-made rows show given items, moving and writing as little as possible. */

/**
 * @template T
 * @typedef {object} ListOf
 * @property {Element} list its children carry `data-key`
 * @property {HTMLTemplateElement} template one blank row
 * @property {(item: T) => string} key
 * @property {(row: HTMLElement, item: T) => void} show
 */

/**
 * @template T
 * @param {ListOf<T>} how
 * @param {T[]} items
 */
export function showItems({ list, template, key, show }, items) {
  const rows = rowsByKey(list)
  const keys = new Set(items.map(key))
  // First, so that rows which stay are not moved around the ones that go: moving loses focus.
  for (const [name, row] of rows) if (!keys.has(name)) row.remove()
  let place = list.firstElementChild
  for (const item of items) {
    const row = rows.get(key(item)) ?? blank(template, key(item))
    show(row, item)
    if (row === place) place = place.nextElementSibling
    else list.insertBefore(row, place)
  }
}

/** @param {Element} list @returns {Map<string, HTMLElement>} */
export function rowsByKey(list) {
  const rows = /** @type {HTMLCollectionOf<HTMLElement>} */ (list.children)
  return new Map(Array.from(rows, (row) => [row.dataset.key ?? '', row]))
}

/** @param {HTMLTemplateElement} template @param {string} key */
function blank(template, key) {
  const source = /** @type {HTMLElement} */ (template.content.firstElementChild)
  const row = /** @type {HTMLElement} */ (document.importNode(source, true))
  row.dataset.key = key
  return row
}
