/**
 * The kept seat: the resume token in the application's store, so that a page that is loaded again takes its seat back;
 * and the lock by which tabs that share a copy of the store agree whose seat it is.
 */

import { world } from "./platform.js";

/** @import { Clock, Options } from "./types.js" */

const PATIENCE = 2_000; // milliseconds: a page that is being reloaded may still have the lock

/** @typedef {{participantId: string, resumeToken: string}} KeptSeat */

export class Seats {
  #store;
  #locks;
  #clock;
  #key;
  /** The participant whose lock this client has or waits for. @type {string | null} */
  #claimed = null;
  /** Gives up that lock, or the waiting for it. */
  #release = () => {};

  /**
   * @param {Options} options
   * @param {string} code The room's.
   * @param {Clock} clock
   */
  constructor({ store, locks = world.navigator?.locks }, code, clock) {
    this.#store = store ?? null;
    this.#locks = locks ?? null;
    this.#clock = clock;
    this.#key = `roomd:${code}`;
  }

  /** The seat that was kept, if there is one. @returns {KeptSeat | null} */
  get kept() {
    try {
      const { participantId, resumeToken } = JSON.parse(this.#store?.get(this.#key) ?? "null");
      return typeof participantId === "string" && typeof resumeToken === "string" ? { participantId, resumeToken } : null;
    } catch {
      return null; // nothing is kept, or nothing that this client wrote
    }
  }

  /**
   * Keep a seat, or a place in the queue, and have its lock as soon as no other tab has it.
   *
   * @param {KeptSeat} seat
   */
  keep(seat) {
    this.#try((store) => store.set(this.#key, JSON.stringify(seat)));
    void this.claim(seat.participantId, null);
  }

  /** Forget the seat: it is gone. */
  forget() {
    this.#try((store) => store.remove(this.#key));
  }

  /**
   * Get the lock of a seat.
   *
   * @param {string} participantId
   * @param {number | null} [patience] Milliseconds to wait for it; null: as long as it takes.
   * @returns {Promise<boolean>} False when another tab has it.
   */
  async claim(participantId, patience = PATIENCE) {
    const [locks, clock] = [this.#locks, this.#clock];
    if (this.#store === null || locks === null || this.#claimed === participantId) return true;
    this.release();
    this.#claimed = participantId;
    const waiting = new AbortController();
    /** @type {() => void} */
    let finish = () => {};
    const finished = new Promise((resolve) => (finish = () => resolve(undefined)));
    const timer = patience === null ? null : clock.setTimeout(() => waiting.abort(), patience);
    this.#release = () => {
      waiting.abort();
      finish();
    };
    return new Promise((resolve) => {
      locks
        .request(`roomd:${participantId}`, { signal: waiting.signal }, () => {
          clock.clearTimeout(timer);
          resolve(true);
          return finished;
        })
        .catch(() => {
          clock.clearTimeout(timer);
          if (this.#claimed === participantId) this.#claimed = null;
          resolve(!waiting.signal.aborted); // where locks are forbidden, no other tab has one
        });
    });
  }

  /** Give up the lock. Doing so twice is fine. */
  release() {
    this.#claimed = null;
    this.#release();
    this.#release = () => {};
  }

  /** @param {(store: NonNullable<Options["store"]>) => void} action */
  #try(action) {
    try {
      if (this.#store !== null) action(this.#store);
    } catch {
      // The store is full or forbidden: then nothing is kept.
    }
  }
}
