/** How long to wait before trying to connect again. */

const FIRST_MS = 250
const CAP_MS = 10_000

/**
 * Full jitter: anywhere between nothing and an exponentially growing bound, so that many pages that lost
 * the same server do not come back at the same moment.
 * @param {number} tries failed tries so far
 * @param {() => number} random
 */
export function fullJitter(tries, random = Math.random) {
  return random() * Math.min(CAP_MS, FIRST_MS * 2 ** Math.min(tries, 10))
}
