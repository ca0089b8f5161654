/** Keeps every `<time data-style>` right from one timer, by the server's clock. */

import { setText } from './dom.js'
import { absolute, elapsed, relative } from './format.js'

const TICK_MS = 1_000

/** The visitor's clock may be wrong; the server's counts. */
class ServerTime {
  #offset = Number(document.documentElement.dataset.now) - Date.now()

  /** Milliseconds since the epoch. */
  now() {
    return Date.now() + this.#offset
  }

  /** @param {string} now the server's, as just heard */
  synchronise(now) {
    this.#offset = Date.parse(now) - Date.now()
  }
}

export const serverTime = new ServerTime()

/** Start the page's one timer. */
export function startTimes() {
  setInterval(() => {
    for (const time of document.querySelectorAll('time[data-style]')) write(time)
  }, TICK_MS)
}

/**
 * @param {HTMLElement} time
 * @param {string | null} moment null hides it
 */
export function showTime(time, moment) {
  time.hidden = !moment
  if (moment && time.getAttribute('datetime') !== moment) {
    time.setAttribute('datetime', moment)
    time.title = absolute(moment)
  } else if (!moment) {
    time.removeAttribute('datetime')
    time.removeAttribute('title')
  }
  write(time)
}

/** @param {Element} time */
function write(time) {
  const moment = time.getAttribute('datetime')
  const style = time.getAttribute('data-style') === 'elapsed' ? elapsed : relative
  setText(time, moment ? style(moment, serverTime.now()) : '')
}
