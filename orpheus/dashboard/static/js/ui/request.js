/** Acts go through the same JSON routes as everybody's, and their problems are shown as they are told. */

import { fill } from './slots.js'

/**
 * @typedef {{title: string, detail: string, errors?: {loc: (string | number)[], msg: string}[],
 *   request_id?: string}} Problem
 * @typedef {{ok: true, data: any} | {ok: false, problem: Problem}} Answer
 */

/** @type {Problem} */
const NO_ANSWER = {
  title: 'No answer',
  detail: 'The server could not be reached. Nothing is known to have changed.',
}

/**
 * @param {string} path
 * @param {string} [body] JSON text, sent as it is
 * @returns {Promise<Answer>}
 */
export async function post(path, body) {
  try {
    const headers = body === undefined ? undefined : { 'Content-Type': 'application/json' }
    const response = await fetch(path, { method: 'POST', headers, body })
    const data = await response.json()
    return response.ok ? { ok: true, data } : { ok: false, problem: data }
  } catch {
    return { ok: false, problem: NO_ANSWER }
  }
}

/**
 * @param {HTMLElement} box the `data-problem` part of a form
 * @param {Problem | null} problem null hides it
 */
export function showProblem(box, problem) {
  box.hidden = problem === null
  if (!problem) return
  const { title, detail, request_id: id } = problem
  fill(box, { title, detail, request: id ? `Request ${id}` : null })
  const list = /** @type {HTMLElement} */ (box.querySelector('[data-f=errors]'))
  const places = problem.errors ?? []
  list.hidden = places.length === 0
  list.replaceChildren(...places.map(({ loc, msg }) => {
    const item = document.createElement('li')
    item.textContent = loc.length > 0 ? `${loc.join('.')}: ${msg}` : msg
    return item
  }))
}

/**
 * A result exactly as stored: text, since parsing would round big numbers.
 * @param {number} id
 * @returns {Promise<string | null>}
 */
export async function resultText(id) {
  try {
    const response = await fetch(`/ui/jobs/${id}/result`)
    return response.ok ? await response.text() : null
  } catch {
    return null
  }
}
