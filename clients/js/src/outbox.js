/** Messages on their way: each is sent again after a reconnect, under the same `clientId`, until it is answered. */

import { Refusal, disconnected, noAnswer } from "./errors.js";
import { defer, settleBy } from "./requests.js";

/** @import { Deferred, Settle } from "./requests.js" */
/** @import { Message } from "./protocol.js" */
/** @import { Clock, Frame } from "./types.js" */

const PATIENCE = 30_000; // milliseconds until a message is given up, over all connections
const MOST = 100; // messages that may wait

/** @typedef {{text: string, to?: string | null, clientId: string}} Draft */

/**
 * @typedef {object} Entry
 * @property {Draft} draft
 * @property {Deferred<Frame>} caller
 * @property {any} timer
 * @property {string | null} sender The participant under which it was sent; null before that.
 * @property {boolean} isUnderway It was sent on this connection, and may still be answered.
 */

export class Outbox {
  #clock;
  /** In the order they were said. @type {Set<Entry>} */
  #entries = new Set();

  /** @param {Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /**
   * Add a message to those that are sent.
   *
   * @param {Draft} draft
   * @returns {Promise<Frame>} The reply.
   */
  add(draft) {
    /** @type {Deferred<Frame>} */
    const caller = defer();
    if (this.#entries.size >= MOST) {
      caller.reject(new Refusal(0, "too_many", "Too many messages wait to be sent"));
      return caller.promise;
    }
    /** @type {Entry} */
    const entry = { draft, caller, timer: null, sender: null, isUnderway: false };
    entry.timer = this.#clock.setTimeout(() => this.#end(entry, () => caller.reject(noAnswer())), PATIENCE);
    this.#entries.add(entry);
    return caller.promise;
  }

  /**
   * Send what is not under way.
   *
   * @param {string} sender The own participant's id. What was sent under another one is given up: it may have arrived.
   * @param {(draft: Draft, settle: Settle) => void} send May throw; then the message is refused.
   */
  flush(sender, send) {
    for (const entry of [...this.#entries]) {
      if (entry.isUnderway || !this.#entries.has(entry)) continue;
      const { draft, caller } = entry;
      if (entry.sender !== null && entry.sender !== sender) {
        this.#end(entry, () => caller.reject(disconnected()));
        continue;
      }
      entry.sender = sender;
      entry.isUnderway = true;
      try {
        send(draft, (reply) => {
          entry.isUnderway = false;
          // Without an answer it is not known whether the message was kept: it is sent again, and kept once.
          if (reply === null) return;
          if (reply.code !== noAnswer().code) this.#end(entry, () => settleBy(caller)(reply));
          else if (this.#entries.has(entry)) this.flush(sender, send);
        });
      } catch (error) {
        this.#end(entry, () => caller.reject(error));
      }
    }
  }

  /**
   * Take a message that turned up: if it is an own one, that is its answer.
   *
   * @param {Message} message
   */
  arrived({ clientId, participantId }) {
    if (clientId == null) return;
    for (const entry of this.#entries)
      if (entry.draft.clientId === clientId && entry.sender === participantId)
        this.#end(entry, () => entry.caller.resolve({ type: "ok" }));
  }

  /** Give everything up: the meeting is over. */
  close() {
    for (const entry of [...this.#entries]) this.#end(entry, () => entry.caller.reject(disconnected()));
  }

  /**
   * @param {Entry} entry
   * @param {() => void} settle
   */
  #end(entry, settle) {
    if (!this.#entries.delete(entry)) return;
    this.#clock.clearTimeout(entry.timer);
    settle();
  }
}

/** Draw a `clientId` of 22 characters. It has to be new for its participant only, so that it need not be secret. */
export function newClientId() {
  const draw = () => Math.floor(Math.random() * 36 ** 11).toString(36).padStart(11, "0"); // prettier-ignore
  return draw() + draw();
}
