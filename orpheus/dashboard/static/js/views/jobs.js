/** The live jobs table: shows what comes, but never moves a row under somebody's eyes. */

import { Hold } from '../ui/hold.js'
import { rowsByKey, showItems } from '../ui/list.js'
import { showJobRow } from './job-row.js'

/** @typedef {import('./job-row.js').Job} Job */

/** @param {import('../live/live.js').Live} live */
export function startJobs(live) {
  for (const frame of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-jobs]'))) {
    const args = JSON.parse(frame.dataset.args ?? 'null')
    // An older page is the picture of a moment and has nothing to subscribe to.
    if (!args) continue
    const table = new JobTable(frame)
    live.subscribe('jobs', args, (data) => data && table.take(data.items))
  }
}

class JobTable {
  /** @type {Job[]} */ #newest = []
  /** @type {import('../ui/list.js').ListOf<Job>} */ #rows
  /** @type {HTMLElement} */ #empty
  /** @type {HTMLButtonElement} */ #pill
  /** @type {HTMLAnchorElement | null} */ #older
  /** @type {Hold} */ #hold
  #limit

  /** @param {HTMLElement} frame */
  constructor(frame) {
    const part = (/** @type {string} */ selector) => /** @type {any} */ (frame.querySelector(selector))
    this.#rows = {
      list: part('[data-rows]'),
      template: part('template[data-row]'),
      key: (job) => String(job.id),
      show: showJobRow,
    }
    this.#empty = part('[data-empty]')
    this.#pill = part('[data-new]')
    this.#older = document.querySelector('[data-older]')
    this.#limit = Number(frame.dataset.limit)
    this.#hold = new Hold(frame, () => this.#showAll())
    this.#pill.addEventListener('click', () => {
      this.#pill.blur()
      this.#showAll()
      frame.scrollIntoView({ block: 'nearest' })
    })
  }

  /** @param {Job[]} items the newest jobs that match, as of now */
  take(items) {
    this.#newest = items
    if (this.#hold.held) this.#showInPlace()
    else this.#showAll()
  }

  #showAll() {
    this.#followEnd()
    for (const row of this.#rows.list.querySelectorAll('[data-left]')) row.removeAttribute('data-left')
    showItems(this.#rows, this.#newest)
    this.#empty.hidden = this.#newest.length > 0
    this.#pill.hidden = true
  }

  /** The next page goes on after the last row shown, wherever that has got to. */
  #followEnd() {
    if (!this.#older || this.#newest.length < this.#limit) return
    const address = new URL(this.#older.href)
    address.searchParams.set('before', String(this.#newest[this.#newest.length - 1].id))
    this.#older.href = address.href
    this.#older.hidden = false
  }

  /** Rows stay where they are; one that is not among the newest any more is dimmed until the hold ends. */
  #showInPlace() {
    const rows = rowsByKey(this.#rows.list)
    let unseen = 0
    for (const job of this.#newest) {
      const row = rows.get(String(job.id))
      if (row) showJobRow(row, job)
      else unseen += 1
      rows.delete(String(job.id))
    }
    for (const row of rows.values()) row.toggleAttribute('data-left', true)
    this.#pill.textContent = `▲ ${unseen}${unseen === this.#newest.length ? '+' : ''} new`
    this.#pill.hidden = unseen === 0
  }
}
