/** The submit box, and the line below it that follows the submitted job to its end. */

import { setText } from '../ui/dom.js'
import { post, resultText, showProblem } from '../ui/request.js'
import { fill } from '../ui/slots.js'
import { describe } from './job-row.js'

const FINAL = new Set(['done', 'failed', 'cancelled'])
const SHOWN_RESULT = 200

/** @param {import('../live/live.js').Live} live */
export function startSubmit(live) {
  const form = document.querySelector('[data-submit]')
  if (!(form instanceof HTMLFormElement)) return
  const part = (/** @type {string} */ selector) => /** @type {any} */ (form.querySelector(selector))
  /** @type {HTMLSelectElement} */ const type = part('select')
  /** @type {HTMLTextAreaElement} */ const payload = part('textarea')
  const [button, problem, doc] = ['[type=submit]', '[data-problem]', '[data-f=doc]'].map(part)
  const follow = follower(live, part('[data-answer]'))

  type.addEventListener('change', () => suggest(type, payload, doc))
  payload.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit()
  })
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    const body = requestText(form)
    if (typeof body !== 'string') return showProblem(problem, body)
    button.disabled = true
    const reply = await post('/jobs', body)
    button.disabled = false
    showProblem(problem, reply.ok ? null : reply.problem)
    if (reply.ok) follow(reply.data)
  })
  suggest(type, payload, doc)
}

/**
 * The type's own example, unless somebody has typed.
 * @param {HTMLSelectElement} type @param {HTMLTextAreaElement} payload @param {Element} doc
 */
function suggest(type, payload, doc) {
  const chosen = type.selectedOptions[0]
  if (!chosen) return
  setText(doc, chosen.dataset.doc ?? '')
  const untouched = Array.from(type.options, (option) => option.dataset.example)
  if (payload.value.trim() === '' || untouched.includes(payload.value)) payload.value = chosen.dataset.example ?? '{}'
}

/**
 * The request as text. The payload goes in as typed: parsed and written again, big integers would change.
 * @param {HTMLFormElement} form
 * @returns {string | import('../ui/request.js').Problem}
 */
function requestText(form) {
  const fields = new FormData(form)
  const text = (/** @type {string} */ name) => String(fields.get(name) ?? '').trim()
  const members = [`"type": ${JSON.stringify(text('type'))}`]
  for (const [name, title] of [['payload', 'The payload'], ['priority', 'The priority'], ['delay', 'The delay']]) {
    if (text(name) === '') continue
    try {
      JSON.parse(text(name))
    } catch (error) {
      return { title: `${title} is not valid JSON`, detail: /** @type {Error} */ (error).message }
    }
    members.push(`"${name}": ${text(name)}`)
  }
  return `{${members.join(', ')}}`
}

/** @param {import('../live/live.js').Live} live @param {HTMLElement} line */
function follower(live, line) {
  let stop = () => {}
  return (/** @type {any} */ submitted) => {
    stop()
    const show = (/** @type {any} */ job) => {
      fill(line, {
        state: { badge: job.state },
        link: { href: `/ui/jobs/${job.id}` },
        type: job.type,
        id: `#${job.id}`,
        outcome: job.error ? describe(job.error) : null,
      })
      line.hidden = false
    }
    show(submitted)
    stop = live.subscribe('job', { id: submitted.id }, async (job) => {
      if (!job) return
      show(job)
      if (!FINAL.has(job.state)) return
      stop()
      const result = job.state === 'done' ? await resultText(job.id) : null
      if (result) fill(line, { outcome: result.length > SHOWN_RESULT ? `${result.slice(0, SHOWN_RESULT)}…` : result })
    })
  }
}
