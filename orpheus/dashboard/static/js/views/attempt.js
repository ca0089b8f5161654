/** What one attempt says, and how failures are told. First paint: templates/macros/attempts.html. */

import { duration } from '../ui/format.js'
import { fill } from '../ui/slots.js'
import { describe } from './job-row.js'

/** @typedef {import('./job-row.js').JobError} JobError */

/** @param {HTMLElement} item @param {any} attempt */
export function showAttempt(item, attempt) {
  const state = attempt.outcome ?? (attempt.started_at ? 'running' : 'claimed')
  item.dataset.state = state
  fill(item, {
    attempt: attempt.attempt,
    state: { badge: state },
    running_since: { time: attempt.outcome ? null : attempt.started_at },
    ran: attempt.started_at && attempt.finished_at ? duration(attempt.started_at, attempt.finished_at) : null,
    exit: attempt.exit,
    worker: attempt.worker,
    pid: attempt.pid,
    claimed_at: { time: attempt.claimed_at },
    ...failureSlots(attempt.error),
  })
}

/** @param {JobError | null} error @returns {Record<string, import('../ui/slots.js').Value>} */
export function failureSlots(error) {
  return {
    failure: { show: error !== null },
    error: error && describe(error),
    trace: { show: Boolean(error?.traceback) },
    traceback: error?.traceback ?? null,
  }
}
