/** The token of a user: a string, or a function that gets one for each connection. */

/** @import { Clock, Options } from "./types.js" */

const PATIENCE = 20_000; // milliseconds until a token function must have given its token
const MAX_REFUSED = 3; // tokens in a row, after which a token function is asked no more

/** Gets tokens, and remembers which one the server did not accept. */
export class Tokens {
  /** The token of this attempt to connect; null for a guest. @type {string | null} */
  #current = null;
  #option;
  #clock;
  /** @type {any} */
  #timer = null;
  /** @type {string | null} */
  #refused = null;
  #refusals = 0;

  /**
   * @param {Options["token"]} option
   * @param {Clock} clock
   */
  constructor(option, clock) {
    this.#option = option;
    this.#clock = clock;
  }

  /** Forget the refusals: the server has accepted the token, or another join begins. */
  reset() {
    this.#refused = null;
    this.#refusals = 0;
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

  /** Stop waiting for a token function. */
  cancel() {
    this.#clock.clearTimeout(this.#timer);
  }

  /**
   * Take a token for this attempt to connect.
   *
   * @param {string | null} token
   * @returns {boolean} False if the server has refused this very token before.
   */
  use(token) {
    this.#current = token;
    return token === null || token !== this.#refused;
  }

  /**
   * Note that the server refused the current token.
   *
   * @returns {boolean} Whether it is worth asking for another one.
   */
  refuse() {
    this.#refusals += 1;
    if (typeof this.#option !== "function" || this.#refusals >= MAX_REFUSED) return false;
    this.#refused = this.#current;
    return true;
  }
}
