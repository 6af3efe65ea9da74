/** The own presence: changes that were asked for, until the server has taken them. */

import { defer, settleBy } from "./requests.js";

/** @import { Deferred, Settle } from "./requests.js" */
/** @import { Participant } from "./protocol.js" */
/** @import { Frame } from "./types.js" */

/** @typedef {Record<string, string | number | boolean | null>} StateChange Null takes a key away. */

/** The value in whose place the server keeps its own time. */
export const NOW = "@now";

/** Collects changes while there is no connection, and keeps those that a connection lost. */
export class Presence {
  /** Taken by the server, though the view may not show it yet. @type {StateChange} */
  #granted = {};
  /** The own participant, as it was when it took its seat or lost the connection. @type {Participant | null} */
  #last = null;
  /** Not sent yet. @type {StateChange} */
  #pending = {};
  /** Who waits for what is not sent yet. @type {Deferred<Frame>[]} */
  #callers = [];

  /**
   * Add a change to those that will be sent.
   *
   * @param {StateChange} state
   * @returns {Promise<Frame>} The reply.
   */
  change(state) {
    /** @type {Deferred<Frame>} */
    const caller = defer();
    Object.assign(this.#pending, state);
    this.#callers.push(caller);
    return caller.promise;
  }

  /**
   * Note the own participant as it was when the connection was lost.
   *
   * @param {Participant | null} me Null changes nothing.
   */
  remember(me) {
    this.#last = me ?? this.#last;
  }

  /**
   * Note a seat. If it is not the one of before, the whole presence will be sent again: a new seat begins with none.
   *
   * @param {Participant} me
   */
  seated(me) {
    const last = this.#last;
    this.#last = me;
    if (last === null || last.id === me.id) return;
    // "@now" became a time: a hand that is up keeps it.
    const granted = Object.entries(this.#granted).filter(([key, value]) => value !== NOW || typeof last.state[key] !== "string");
    this.#pending = { ...last.state, ...Object.fromEntries(granted), ...this.#pending };
  }

  /**
   * Send what is not sent yet, in one request.
   *
   * @param {(state: StateChange, settle: Settle) => void} send May throw; then the changes are refused.
   * @param {() => boolean} isLast Whether no other connection follows, on which lost changes could be sent again.
   */
  flush(send, isLast) {
    const [state, callers] = [this.#pending, this.#callers];
    if (Object.keys(state).length + callers.length === 0) return;
    this.#pending = {};
    this.#callers = [];
    try {
      send(state, (reply) => {
        if (reply === null && !isLast()) {
          this.#pending = { ...state, ...this.#pending };
          this.#callers = [...callers, ...this.#callers];
          return;
        }
        if (reply?.type === "ok") Object.assign(this.#granted, state);
        for (const caller of callers) settleBy(caller)(reply);
      });
    } catch (error) {
      for (const { reject } of callers) reject(error);
    }
  }

  /**
   * Give up what is not sent yet.
   *
   * @returns {Deferred<Frame>[]} Who waits for it.
   */
  drop() {
    const callers = this.#callers;
    this.#pending = {};
    this.#callers = [];
    return callers;
  }
}
