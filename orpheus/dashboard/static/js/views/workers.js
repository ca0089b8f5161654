/** The workers and what each one runs. */

import { showItems } from '../ui/list.js'
import { fill } from '../ui/slots.js'

/**
 * @typedef {{job: number, type: string, started_at: string | null}} Run
 * @typedef {object} Worker
 * @property {string} worker
 * @property {string} pool
 * @property {number} pid
 * @property {string} lane
 * @property {string} state
 * @property {string} started_at
 * @property {string} heartbeat_at
 * @property {Run[]} running
 * @property {string | null} exit
 */

/** @param {import('../live/live.js').Live} live */
export function startWorkers(live) {
  const root = document.querySelector('[data-workers]')
  if (!root) return
  const part = (/** @type {string} */ selector) => /** @type {any} */ (root.querySelector(selector))
  const empty = part('[data-empty]')
  const runTemplate = part('template[data-run]')
  const workers = {
    list: part('[data-rows]'),
    template: part('template[data-row]'),
    key: (/** @type {Worker} */ worker) => worker.worker,
    show: (/** @type {HTMLElement} */ card, /** @type {Worker} */ worker) => showWorker(card, worker, runTemplate),
  }
  live.subscribe('workers', {}, (data) => {
    if (!data) return
    showItems(workers, data.items)
    empty.hidden = data.items.length > 0
  })
}

/** @param {HTMLElement} card @param {Worker} worker @param {HTMLTemplateElement} runTemplate */
function showWorker(card, worker, runTemplate) {
  card.dataset.state = worker.state
  fill(card, {
    worker: worker.worker,
    state: { badge: worker.state },
    exit: worker.exit,
    lane: worker.lane,
    pool: worker.pool,
    pid: worker.pid,
    started_at: { time: worker.started_at },
    heartbeat_at: { time: worker.heartbeat_at },
  })
  const list = /** @type {Element} */ (card.querySelector('[data-runs]'))
  showItems({ list, template: runTemplate, key: (run) => String(run.job), show: showRun }, worker.running)
}

/** @param {HTMLElement} item @param {Run} run */
function showRun(item, run) {
  fill(item, {
    link: { href: `/ui/jobs/${run.job}` },
    type: run.type,
    id: `#${run.job}`,
    started_at: { time: run.started_at },
  })
}
