/** The page of one job: its facts, its attempts, its buttons. The log has its own file. */

import { showItems } from '../ui/list.js'
import { post, resultText, showProblem } from '../ui/request.js'
import { fill } from '../ui/slots.js'
import { showAttempt, failureSlots } from './attempt.js'
import { LogView } from './log.js'
import { progressSlots, runSlots } from './job-row.js'

/** @param {import('../live/live.js').Live} live */
export function startJob(live) {
  const root = document.querySelector('[data-job]')
  if (!(root instanceof HTMLElement)) return
  const id = Number(root.dataset.job)
  const page = new JobPage(root, id)
  live.subscribe('job', { id }, (job) => page.take(job))
}

class JobPage {
  /** @type {HTMLElement} */ #root
  /** @type {HTMLButtonElement[]} */ #buttons
  /** @type {LogView} */ #log
  #attempts
  #id
  #busy = false
  #resultOf = ''

  /** @param {HTMLElement} root @param {number} id */
  constructor(root, id) {
    this.#root = root
    this.#id = id
    this.#buttons = Array.from(root.querySelectorAll('[data-act]'))
    this.#log = new LogView(this.#part('[data-log]'))
    const attempts = this.#part('[data-attempts]')
    this.#attempts = {
      list: /** @type {any} */ (attempts.querySelector('[data-rows]')),
      template: /** @type {any} */ (attempts.querySelector('template[data-row]')),
      key: (/** @type {any} */ attempt) => String(attempt.attempt),
      show: showAttempt,
    }
    for (const button of this.#buttons) button.addEventListener('click', () => this.#act(button))
  }

  /** @param {any} job with `attempts` and the newest `logs`; null once it is deleted */
  take(job) {
    if (!job) {
      this.#root.dataset.state = 'deleted'
      for (const button of this.#buttons) button.disabled = true
      return
    }
    this.#showFacts(job)
    this.#showButtons(job)
    this.#showResult(job)
    showItems(this.#attempts, job.attempts.toReversed())
    const none = /** @type {HTMLElement} */ (this.#part('[data-attempts] > [data-empty]'))
    none.hidden = job.attempts.length > 0
    this.#log.take(job.logs)
  }

  /** @param {any} job */
  #showFacts(job) {
    this.#root.dataset.state = job.state
    const run = runSlots(job)
    fill(this.#root, {
      state: { badge: job.state },
      ...progressSlots(job.progress),
      progressing: { show: job.progress !== null },
      attempt: String(job.attempt),
      retries: String(job.retries),
      crashes: String(job.crashes),
      ...run,
      started: { show: job.started_at !== null },
      started_at: { time: job.started_at },
      finished: { show: job.finished_at !== null },
      finished_at: { time: job.finished_at },
      run: { show: job.started_at !== null && (job.state === 'in_progress' || job.finished_at !== null) },
      on: { show: job.worker !== null },
      worker: job.worker,
      wrong: { show: job.error !== null },
      ...failureSlots(job.error),
    })
  }

  /** @param {any} job */
  #showButtons(job) {
    for (const button of this.#buttons) {
      const allowed = button.dataset.states?.split(' ').includes(job.state)
      const asked = button.dataset.act === 'cancel' && job.state === 'in_progress' && job.cancel_requested
      button.disabled = this.#busy || !allowed || asked
      if (button.dataset.act === 'retry') button.textContent = job.state === 'scheduled' ? 'Run now' : 'Retry'
    }
  }

  /** @param {any} job */
  async #showResult(job) {
    const finished = job.state === 'done' ? job.finished_at : ''
    if (finished === this.#resultOf) return
    this.#resultOf = finished
    const text = finished ? await resultText(this.#id) : null
    const result = this.#part('[data-result]')
    result.hidden = text === null
    result.textContent = text
    const ended = ['done', 'failed', 'cancelled'].includes(job.state)
    fill(this.#root, { no_result: text === null ? (ended ? 'None.' : 'None yet.') : null })
  }

  /** @param {HTMLButtonElement} button */
  async #act(button) {
    this.#busy = true
    button.disabled = true
    const reply = await post(`/jobs/${this.#id}/${button.dataset.act}`)
    this.#busy = false
    showProblem(this.#part('[data-problem]'), reply.ok ? null : reply.problem)
    if (reply.ok) this.#showFacts(reply.data)
    this.#showButtons(reply.ok ? reply.data : { state: this.#root.dataset.state })
  }

  /** @param {string} selector */
  #part(selector) {
    return /** @type {HTMLElement} */ (this.#root.querySelector(selector))
  }
}
