/** Knows whether somebody is reading, so that what they read does not move. */

const SETTLE_MS = 150

export class Hold {
  #pointerInside = false
  /** @type {Element} */ #frame

  /**
   * @param {Element} frame
   * @param {() => void} released called when nobody is reading any more
   */
  constructor(frame, released) {
    this.#frame = frame
    const check = () => setTimeout(() => this.held || released(), SETTLE_MS)
    frame.addEventListener('pointerenter', (event) => {
      // A finger leaves no pointer behind that could be resting on a row.
      this.#pointerInside = /** @type {PointerEvent} */ (event).pointerType === 'mouse'
    })
    frame.addEventListener('pointerleave', () => {
      this.#pointerInside = false
      check()
    })
    frame.addEventListener('focusout', check)
    addEventListener('scrollend', check)
  }

  /** The pointer is over it, something in it has focus, or its start is scrolled out of sight. */
  get held() {
    const above = this.#frame.getBoundingClientRect().top < 0
    return this.#pointerInside || above || this.#frame.contains(document.activeElement)
  }
}
