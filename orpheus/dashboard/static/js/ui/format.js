/**
 * How times, durations and numbers are written. The same rules as orpheus/api/pages/formats.py, which
 * writes the first paint; a browser test compares the two.
 */

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** @param {string} moment @param {number} now milliseconds, the server's */
export function relative(moment, now) {
  const distance = Math.floor(now) - Date.parse(moment)
  if (Math.abs(distance) < SECOND) return 'now'
  const amount = coarse(Math.abs(distance))
  return distance > 0 ? `${amount} ago` : `in ${amount}`
}

/** @param {string} moment @param {number} now milliseconds, the server's */
export function elapsed(moment, now) {
  const distance = Math.max(0, Math.floor(now) - Date.parse(moment))
  return distance < MINUTE ? `${whole(distance, SECOND)} s` : fine(distance)
}

/** @param {string} start @param {string} end */
export function duration(start, end) {
  return fine(Math.max(0, Date.parse(end) - Date.parse(start)))
}

/** @param {number} amount */
export function seconds(amount) {
  return fine(Math.max(0, Math.trunc(amount * 1_000)))
}

/** @param {string} moment */
export function absolute(moment) {
  return moment.replace('T', ' ').replace('Z', ' UTC')
}

/** @param {number} value */
export function number(value) {
  return value.toLocaleString('en-US')
}

/** @param {number} value between 0 and 1 */
export function percent(value) {
  return `${Math.trunc(value * 100)} %`
}

/** @param {string} name `in_progress` becomes `In progress` */
export function label(name) {
  const words = name.replaceAll('_', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

/** @param {number} span */
function coarse(span) {
  if (span < MINUTE) return `${whole(span, SECOND)} s`
  if (span < HOUR) return `${whole(span, MINUTE)} min`
  if (span < DAY) return `${whole(span, HOUR)} h`
  return `${whole(span, DAY)} d`
}

/** @param {number} span */
function fine(span) {
  if (span < 1) return '<1 ms'
  if (span < SECOND) return `${span} ms`
  if (span < MINUTE) {
    const hundredths = whole(span, 10)
    return `${whole(hundredths, 100)}.${String(hundredths % 100).padStart(2, '0')} s`
  }
  if (span < HOUR) return `${whole(span, MINUTE)} m ${whole(span % MINUTE, SECOND)} s`
  if (span < DAY) return `${whole(span, HOUR)} h ${whole(span % HOUR, MINUTE)} m`
  return `${whole(span, DAY)} d ${whole(span % DAY, HOUR)} h`
}

/** @param {number} span @param {number} unit */
function whole(span, unit) {
  return Math.floor(span / unit)
}
