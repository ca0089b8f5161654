/** The log of a job: lines are only ever added, and the newest stays in sight unless somebody scrolled up. */

import { fill } from '../ui/slots.js'
import { absolute } from '../ui/format.js'

const KEPT_LINES = 1_000
const AT_END_PX = 24

/** @typedef {{seq: number, at: string, attempt: number, level: string, stream: string, message: string, fields: object}} Line */

export class LogView {
  /** @type {HTMLElement} */ #list
  /** @type {HTMLTemplateElement} */ #template
  /** @type {HTMLElement} */ #empty
  #lastSeq

  /** @param {Element} root */
  constructor(root) {
    const part = (/** @type {string} */ selector) => /** @type {any} */ (root.querySelector(selector))
    this.#list = part('[data-rows]')
    this.#template = part('template[data-row]')
    this.#empty = part('[data-empty]')
    const last = /** @type {HTMLElement | null} */ (this.#list.lastElementChild)
    this.#lastSeq = Number(last?.dataset.key ?? 0)
    this.#list.scrollTop = this.#list.scrollHeight
  }

  /** @param {Line[]} lines the newest, oldest first */
  take(lines) {
    const added = lines.filter((line) => line.seq > this.#lastSeq)
    if (added.length === 0) return
    const { scrollTop, scrollHeight, clientHeight } = this.#list
    const following = scrollHeight - scrollTop - clientHeight < AT_END_PX
    this.#list.append(...added.map((line) => this.#item(line)))
    while (this.#list.childElementCount > KEPT_LINES) this.#list.firstElementChild?.remove()
    this.#lastSeq = added[added.length - 1].seq
    this.#empty.hidden = true
    if (following) this.#list.scrollTop = this.#list.scrollHeight
  }

  /** @param {Line} line */
  #item(line) {
    const source = /** @type {HTMLElement} */ (this.#template.content.firstElementChild)
    const item = /** @type {HTMLElement} */ (document.importNode(source, true))
    item.dataset.key = String(line.seq)
    item.dataset.level = line.level
    const fields = JSON.stringify(line.fields ?? {})
    fill(item, {
      at: { text: line.at.slice(11, 23), title: absolute(line.at) },
      attempt: line.attempt,
      level: line.stream === 'log' ? line.level : line.stream,
      message: { text: line.message },
      fields: fields === '{}' ? null : fields,
    })
    item.querySelector('time')?.setAttribute('datetime', line.at)
    return item
  }
}
