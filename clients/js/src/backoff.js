/** Back-off: how long to wait before the next attempt to connect. */

// Milliseconds, as `setTimeout` takes them.
const FIRST_RETRY = 500;
const LAST_RETRY = 30_000;
const STABLE = 10_000; // a connection that was joined for longer than this ends the series of failures

const LATER = 5; // seconds at the least, where the protocol says "later"

/** Counts failures in a row. Pure: the time and the randomness are arguments. */
export class Backoff {
  /** Seconds the server asked the client to wait before its next attempt. @type {number | null} */
  retryAfter = null;
  #failures = 0;
  /** When the seat was had on the last connection, in milliseconds; 0 when it was not. */
  #joinedAt = 0;

  /** Begin anew, as for a first attempt. */
  reset() {
    this.#failures = 0;
    this.retryAfter = null;
  }

  /**
   * Note that a connection has got its seat, or its place in the queue.
   *
   * @param {number} now Milliseconds.
   */
  joined(now) {
    this.#joinedAt = now;
    this.retryAfter = null;
  }

  /**
   * Note what a close code says about the next attempt.
   *
   * @param {number} code
   */
  closed(code) {
    if (code === 1012) this.#failures = 0; // a restart is no failure
    if (code === 1013 || code === 4429) this.retryAfter ??= LATER;
  }

  /**
   * Count a failure and return the pause after it: longer each time, and not the same for every client.
   *
   * @param {number} now Milliseconds.
   * @param {() => number} random Like `Math.random`.
   * @returns {number} Milliseconds.
   */
  next(now, random) {
    if (this.#joinedAt && now - this.#joinedAt > STABLE) this.#failures = 0;
    this.#joinedAt = 0;
    const most = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** ++this.#failures);
    const pause = FIRST_RETRY + random() * (most - FIRST_RETRY);
    const delay = Math.max(pause, (this.retryAfter ?? 0) * 1000);
    this.retryAfter = null;
    return delay;
  }
}
