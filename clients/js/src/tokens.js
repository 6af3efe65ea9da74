/** The token of a user: a string, or a function that gets one for each connection. */

/** @import { Clock, Options } from "./types.js" */

const PATIENCE = 20_000; // milliseconds until a token function must have given its token

/** Gets tokens. */
export class Tokens {
  #option;
  #clock;
  /** @type {any} */
  #timer = null;

  /**
   * @param {Options["token"]} option
   * @param {Clock} clock
   */
  constructor(option, clock) {
    this.#option = option;
    this.#clock = clock;
  }

  /**
   * Get a token for the next attempt. Rejects when none comes in time.
   *
   * @returns {Promise<string | null>}
   */
  async get() {
    if (typeof this.#option !== "function") return this.#option ?? null;
    /** @type {any} */
    let timer;
    const late = new Promise((_, reject) => {
      timer = this.#timer = this.#clock.setTimeout(() => reject(new Error("No token could be had")), PATIENCE);
    });
    try {
      return (await Promise.race([this.#option(), late])) ?? null;
    } finally {
      this.#clock.clearTimeout(timer); // not #timer: another attempt may have set its own by now
    }
  }

  /**
   * Get a token that is worth sending where none is needed: null when there is none, or it cannot be had, or has expired.
   *
   * @returns {Promise<string | null>}
   */
  async getFresh() {
    const token = await this.get().catch(() => null);
    return token !== null && !hasExpired(token, Date.now() / 1000) ? token : null;
  }

  /** Stop waiting for a token function. */
  cancel() {
    this.#clock.clearTimeout(this.#timer);
  }
}

/**
 * Tell whether a token says of itself that it has expired. A server may know better: its clock counts.
 *
 * @param {string} token
 * @param {number} now Seconds since 1970.
 */
export function hasExpired(token, now) {
  try {
    const claims = token.split(".")[1] ?? "";
    return JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/"))).exp <= now;
  } catch {
    return false; // not a JWT, as far as this client can see
  }
}
