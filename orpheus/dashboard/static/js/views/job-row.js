/** What a row of the jobs table says. The first paint is written by `job_row` in templates/macros/jobs.html. */

import { duration, percent } from '../ui/format.js'
import { fill } from '../ui/slots.js'

/**
 * The parts of a job (contract.md) that rows show.
 * @typedef {{value: number, message: string | null}} Progress
 * @typedef {{type: string, message: string, traceback?: string | null}} JobError
 * @typedef {object} Job
 * @property {number} id
 * @property {string} type
 * @property {string} queue
 * @property {string} state
 * @property {number} attempt
 * @property {Progress | null} progress
 * @property {JobError | null} error
 * @property {boolean} cancel_requested
 * @property {string} created_at
 * @property {string} run_at
 * @property {string | null} started_at
 * @property {string | null} finished_at
 */

/** @param {HTMLElement} row @param {Job} job */
export function showJobRow(row, job) {
  row.dataset.state = job.state
  fill(row, {
    state: { badge: job.state },
    link: { href: `/ui/jobs/${job.id}` },
    type: job.type,
    id: `#${job.id}`,
    queue: { text: job.queue, title: job.queue },
    attempt: job.attempt || null,
    created_at: { time: job.created_at },
    error: job.error && describe(job.error),
    ...progressSlots(job.state === 'in_progress' ? job.progress : null),
    ...runSlots(job),
  })
}

/** @param {JobError} error */
export function describe(error) {
  return `${error.type}: ${error.message}`
}

/** @param {Progress | null} progress @returns {Record<string, import('../ui/slots.js').Value>} */
export function progressSlots(progress) {
  return {
    progress: { value: progress && progress.value },
    percent: progress && percent(progress.value),
    message: progress && progress.message,
  }
}

/**
 * What follows from the state and the times.
 * @param {Job} job
 * @returns {Record<string, import('../ui/slots.js').Value>}
 */
export function runSlots(job) {
  const running = job.state === 'in_progress'
  const due = job.state === 'scheduled'
  return {
    cancelling: running && job.cancel_requested ? 'cancelling' : null,
    due: { show: due },
    run_at: { time: due ? job.run_at : null },
    running_since: { time: running ? job.started_at : null },
    ran: job.started_at && job.finished_at ? duration(job.started_at, job.finished_at) : null,
  }
}
