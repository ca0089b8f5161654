/**
 * The one socket of a page: subscribes topics, survives every loss of the connection.
 *
 * Frames carry absolute values, so a subscriber only ever needs the newest one; it is called at most
 * once per animation frame. After a reconnect every topic is subscribed again and its snapshot says
 * what was missed.
 */

import { signal } from '../../vendor/signals-core.js'
import { serverTime } from '../ui/times.js'
import { fullJitter } from './backoff.js'

/** Nothing heard for this long: ask for something. */
const QUIET_MS = 10_000
/** Asked and still nothing: the connection is dead whatever the browser believes. */
const DEAD_MS = 5_000
/** Losing it for longer than this is worth saying differently. */
const OFFLINE_MS = 10_000

/**
 * @typedef {'connecting' | 'live' | 'reconnecting' | 'offline'} Phase
 * @typedef {{phase: Phase, since: number, tries: number}} Connection
 * @typedef {{topic: string, args: object, take: (data: any) => void, newest?: any}} Subscription
 */

export class Live {
  /** What the page shows of the connection. */
  connection = signal(/** @type {Connection} */ ({ phase: 'connecting', since: Date.now(), tries: 0 }))

  /** @type {Map<number, Subscription>} */ #subscriptions = new Map()
  /** @type {Set<Subscription>} */ #fresh = new Set()
  /** @type {WebSocket | undefined} */ #socket
  #lastId = 0
  #lostAt = 0
  /** @type {number | undefined} */ #retryMs
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #retryTimer
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #quietTimer

  /** Connect, and stay connected until the page goes away. */
  open() {
    // A page that shows nothing live still says whether the server is there.
    if (this.#subscriptions.size === 0) this.subscribe('summary', {}, () => {})
    addEventListener('online', () => this.retryNow())
    addEventListener('offline', () => this.#lose())
    addEventListener('pageshow', (event) => event.persisted && this.retryNow())
    addEventListener('pagehide', () => this.#close())
    document.addEventListener('visibilitychange', () => this.#followVisibility())
    this.#connect()
  }

  /** Connect without waiting for the next try; nothing happens if all is well. */
  retryNow() {
    if (!this.#socket) this.#connect()
  }

  /**
   * Call `take` with the topic's value now and whenever it changes; null says that there is none.
   * @param {string} topic
   * @param {object} args
   * @param {(data: any) => void} take
   * @returns {() => void} ends the subscription
   */
  subscribe(topic, args, take) {
    const id = ++this.#lastId
    const subscription = { topic, args, take }
    this.#subscriptions.set(id, subscription)
    this.#ask(id, subscription)
    return () => {
      this.#subscriptions.delete(id)
      this.#fresh.delete(subscription)
      this.#send({ op: 'unsubscribe', id })
    }
  }

  #connect() {
    clearTimeout(this.#retryTimer)
    const address = new URL('/ws?mode=dashboard', location.href)
    address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:'
    const socket = new WebSocket(address)
    this.#socket = socket
    socket.onmessage = (message) => this.#receive(JSON.parse(message.data))
    socket.onclose = () => this.#lose()
    this.#expectSomething()
  }

  /** @param {{type: string, id?: number, data?: any, now?: string, retry_ms?: number}} frame */
  #receive(frame) {
    this.#expectSomething()
    const subscription = frame.id === undefined ? undefined : this.#subscriptions.get(frame.id)
    switch (frame.type) {
      case 'hello':
        if (frame.now) serverTime.synchronise(frame.now)
        this.#welcome()
        break
      case 'snapshot':
      case 'update':
        if (subscription) this.#schedule(subscription, frame.data)
        break
      case 'gap':
        // What it is about does not exist (any more).
        if (subscription) this.#schedule(subscription, null)
        break
      case 'bye':
        this.#retryMs = frame.retry_ms
        break
    }
  }

  #welcome() {
    this.#lostAt = 0
    this.connection.value = { phase: 'live', since: Date.now(), tries: 0 }
    for (const [id, subscription] of this.#subscriptions) this.#ask(id, subscription)
    this.#followVisibility()
  }

  /** Also the way on from a silent connection, so it must work from any state. */
  #lose() {
    this.#close()
    this.#lostAt ||= Date.now()
    const tries = this.connection.value.tries + 1
    const away = !navigator.onLine || Date.now() - this.#lostAt > OFFLINE_MS
    this.connection.value = { phase: away ? 'offline' : 'reconnecting', since: this.#lostAt, tries }
    const wait = (this.#retryMs ?? 0) + fullJitter(tries)
    this.#retryMs = undefined
    clearTimeout(this.#retryTimer)
    this.#retryTimer = setTimeout(() => this.#connect(), wait)
  }

  #close() {
    clearTimeout(this.#quietTimer)
    clearTimeout(this.#retryTimer)
    const socket = this.#socket
    this.#socket = undefined
    if (!socket) return
    socket.onmessage = socket.onclose = null
    // Closing one that is not open yet would be reported in the console as a failure.
    if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close()
    else socket.close()
  }

  /** The server may have nothing to say for hours; a snapshot asked for again proves that it could. */
  #expectSomething() {
    clearTimeout(this.#quietTimer)
    this.#quietTimer = setTimeout(() => {
      if (document.hidden) return
      const [first] = this.#subscriptions
      if (first) this.#ask(...first)
      this.#quietTimer = setTimeout(() => this.#lose(), DEAD_MS)
    }, QUIET_MS)
  }

  /** A hidden page costs the server nothing and is right again as soon as it is seen. */
  #followVisibility() {
    if (this.connection.value.phase !== 'live') {
      if (!document.hidden) this.retryNow()
      return
    }
    this.#send({ op: document.hidden ? 'pause' : 'resume' })
    if (!document.hidden) this.#expectSomething()
  }

  /** @param {number} id @param {Subscription} subscription */
  #ask(id, { topic, args }) {
    this.#send({ op: 'subscribe', id, topic, args })
  }

  /** @param {object} message */
  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message))
  }

  /** @param {Subscription} subscription @param {any} data */
  #schedule(subscription, data) {
    if (this.#fresh.size === 0) requestAnimationFrame(() => this.#deliver())
    subscription.newest = data
    this.#fresh.add(subscription)
  }

  #deliver() {
    const fresh = [...this.#fresh]
    this.#fresh.clear()
    for (const { take, newest } of fresh) take(newest)
  }
}
