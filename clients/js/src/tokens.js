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

  /** Stop waiting for a token function. */
  cancel() {
    this.#clock.clearTimeout(this.#timer);
  }
}
