/** The state tiles and the figures of the last minute. */

import { number, seconds } from '../ui/format.js'
import { fill } from '../ui/slots.js'

/**
 * `GET /stats` of contract.md, the parts shown.
 * @typedef {object} Stats
 * @property {Record<string, number>} jobs
 * @property {{submitted: number, done: number, failed: number}} last_minute
 * @property {number | null} oldest_pending_seconds
 * @property {{idle: number, running: number}} workers
 */

/** @param {import('../live/live.js').Live} live */
export function startSummary(live) {
  const tiles = document.querySelector('[data-summary]')
  const pulse = document.querySelector('[data-pulse]')
  if (!tiles) return
  live.subscribe('summary', {}, (/** @type {Stats | null} */ stats) => {
    if (!stats) return
    fill(tiles, written(stats.jobs))
    if (!pulse) return
    const { submitted, done, failed } = stats.last_minute
    const oldest = stats.oldest_pending_seconds
    fill(pulse, {
      ...written({ submitted, done, failed, ...stats.workers }),
      oldest: oldest === null ? 'none' : seconds(oldest),
    })
  })
}

/** @param {Record<string, number>} figures */
function written(figures) {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, number(value)]))
}
