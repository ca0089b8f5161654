/** Says in the header how much the page can be trusted, and marks what is stale. */

import { effect } from '../../vendor/signals-core.js'
import { fill } from '../ui/slots.js'

/** @param {import('./live.js').Live} live */
export function showConnection(live) {
  const root = /** @type {HTMLElement} */ (document.querySelector('[data-connection]'))
  const retry = /** @type {HTMLButtonElement} */ (root.querySelector('[data-retry]'))
  retry.addEventListener('click', () => live.retryNow())
  effect(() => {
    const { phase, since, tries } = live.connection.value
    root.dataset.connection = phase
    // Read by the style sheet: figures that may be old get a hatched edge.
    document.documentElement.toggleAttribute('data-stale', phase === 'reconnecting' || phase === 'offline')
    retry.hidden = phase !== 'reconnecting' && phase !== 'offline'
    const clock = new Date(since).toLocaleTimeString('en-GB')
    fill(root, { label: phase === 'offline' ? `offline since ${clock}` : phase })
    root.title = tries > 0 ? `Lost at ${clock}, ${tries} ${tries === 1 ? 'try' : 'tries'} to reconnect` : ''
  })
}
