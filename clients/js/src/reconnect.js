/** Reconnecting: when the client tries again after its connection ended, and when it does not. */

import { notAccepted, secondsOf } from "./errors.js";

/** @import { Refusal } from "./errors.js" */
/** @import { Over } from "./types.js" */

// Seconds.
const FIRST_DELAY = 1; // the longest delay before the first attempt; it doubles with each attempt that follows
const LONGEST_DELAY = 30;
const LATER_DELAY = 5; // the shortest delay after a close that means "later" and names no time
const LASTED = 10; // a visit that lasted this long resets the delay to the first one

const MOST_TOKENS = 3; // refused in a row, after which a token function is not asked again

/** @type {Over} */
const REMOVED = { code: "removed", message: "You were removed from this room", reason: null };
/** @type {Over} */
const BAD_FRAME = { code: "bad_frame", message: "The server did not understand this client", reason: null };

/** Closes after which reconnecting is useless (docs/protocol.md, section 9). @type {Map<number, Over>} */
const FINAL = new Map([
  [1003, BAD_FRAME],
  [1007, BAD_FRAME],
  [1009, BAD_FRAME],
  [4403, REMOVED],
  [4409, { code: "taken_over", message: "You joined from somewhere else", reason: null }],
]);

/**
 * How an attempt to connect, or a connection, ended: by a close, by a refusal of the seat or the token, or because the
 * server could not be reached. `retryAfter`: seconds for which the server wants to be left alone.
 *
 * @typedef {{close: number, reason?: string, retryAfter?: number | null} | {refusal: Refusal} | {unreachable: string}} End
 */

/**
 * Return the seconds to wait before an attempt: half of the longest delay, and a random share of the other half.
 *
 * @param {number} attempt From 0.
 * @param {number} jitter From 0 to 1.
 */
export function backoff(attempt, jitter) {
  return Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** Math.min(attempt, 16)) * (0.5 + jitter / 2);
}

/**
 * Return the end that follows from a refusal of a seat. A ban counts as a removal.
 *
 * @param {{code: string, message: string}} refusal
 * @returns {Over}
 */
export function overByRefusal({ code, message }) {
  return { code: code === "banned" ? REMOVED.code : code, message, reason: null };
}

/** Decides after each connection how long to wait before the next one, or that the meeting is over. */
export class ReconnectPolicy {
  #random;
  #now;
  #hasTokenFunction;
  #attempt = 0;
  #refusedTokens = 0;
  /** @type {string | null} */
  #refusedToken = null;
  /** Milliseconds. @type {number | null} */
  #arrivedAt = null;

  /**
   * @param {() => number} random Returns jitter from 0 to 1.
   * @param {() => number} now Returns milliseconds, and never goes back.
   * @param {boolean} hasTokenFunction
   */
  constructor(random, now, hasTokenFunction) {
    this.#random = random;
    this.#now = now;
    this.#hasTokenFunction = hasTokenFunction;
  }

  /** Note that the client has its seat, or its place in the queue: a visit begins. */
  arrived() {
    this.#arrivedAt = this.#now();
  }

  /** Note that the server has accepted a token. */
  accepted() {
    this.#refusedTokens = 0;
    this.#refusedToken = null;
  }

  /**
   * Note that the server has refused a token without ending the connection.
   *
   * @param {string | null} token
   */
  refused(token) {
    this.#refusedTokens += 1;
    this.#refusedToken = token;
  }

  /**
   * Tell whether the server has just refused this very token, so that connecting with it is useless.
   *
   * @param {string | null} token
   */
  refuses(token) {
    return token !== null && token === this.#refusedToken;
  }

  /**
   * Tell whether a token is worth sending after a `resume`, where a refused one costs the connection.
   *
   * @param {string | null} token
   */
  mayAuthenticate(token) {
    return token !== null && !this.refuses(token) && this.#refusedTokens < MOST_TOKENS;
  }

  /**
   * Tell whether to try again with a new token. Counts `token` when `end` means that the server refused it.
   *
   * It does not help when the token is fixed, when the function returned the refused token again, or when three were
   * refused in a row.
   *
   * @param {End} end
   * @param {string | null} token
   */
  mayRenew(end, token) {
    if (!isAboutToken(end)) return false;
    const isSame = this.refuses(token);
    this.refused(token);
    return this.#hasTokenFunction && !isSame && this.#refusedTokens < MOST_TOKENS;
  }

  /**
   * Return the seconds to wait before the next connection, or why there is none.
   *
   * @param {End} end
   * @param {string | null} token The one that the ended connection used.
   * @param {boolean} canResume Whether there is a resume token: then a refused token is no reason to stay away.
   * @returns {number | Over}
   */
  after(end, token, canResume) {
    if (this.#arrivedAt !== null && this.#now() - this.#arrivedAt >= LASTED * 1000) this.#attempt = 0;
    this.#arrivedAt = null;
    const over = isAboutToken(end) && (this.mayRenew(end, token) || canResume) ? null : overBy(end);
    if (over !== null) return over;
    this.#attempt += 1;
    return Math.max(backoff(this.#attempt - 1, this.#random()), askedDelay(end));
  }
}

/** @param {End} end */
function isAboutToken(end) {
  return "refusal" in end ? end.refusal.statusCode === 401 : "close" in end && end.close === 4401;
}

/**
 * Return the end of the meeting where another attempt would be useless; null where it may help.
 *
 * @param {End} end
 * @returns {Over | null}
 */
export function overBy(end) {
  if (isAboutToken(end)) {
    const { message } = "refusal" in end ? end.refusal : notAccepted();
    return { code: "bad_token", message, reason: null };
  }
  if ("close" in end) return FINAL.get(end.close) ?? null;
  if ("unreachable" in end) return null;
  const { statusCode } = end.refusal;
  return statusCode < 500 && statusCode !== 429 ? overByRefusal(end.refusal) : null;
}

/**
 * Return the seconds for which the server wants to be left alone; 0 where it asked for nothing.
 *
 * @param {End} end
 */
export function askedDelay(end) {
  if ("unreachable" in end) return 0;
  const asked = secondsOf("refusal" in end ? end.refusal.retryAfter : end.retryAfter);
  if (asked !== null) return asked;
  return "close" in end && (end.close === 1013 || end.close === 4429) ? LATER_DELAY : 0;
}
