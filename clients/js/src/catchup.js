/** Catch-up: reading the messages that were sent while this client had no connection. */

import { hasId } from "./frames.js";
import { secondsOf } from "./errors.js";

/** @import { Message } from "./protocol.js" */
/** @import { Clock, Frame, News } from "./types.js" */
/** @import { View } from "./view.js" */

const PAGES = 20; // read at most; if more messages are missing, the rest is skipped and reported as missed
const SHORTEST_PAUSE = 500; // milliseconds before a page that was refused for now is asked for again

/**
 * Messages may be missing: after the one with the id `after`, or from the first on. `isNews`: each is told by an event.
 *
 * @typedef {{after: string | null, isNews: boolean}} Missing
 */

/** Knows whether messages are missing, and reads them page by page. */
export class CatchUp {
  #clock;
  /** @type {Missing | null} */
  #missing = null;
  /** @type {any} */
  #timer = null;

  /** @param {Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /** Messages are missing: they are being read, or have to be. */
  get isNeeded() {
    return this.#missing !== null;
  }

  /**
   * Note that messages are missing. One reading that was cut off begins again where it began.
   *
   * @param {Missing} missing
   */
  miss(missing) {
    this.#missing = missing;
  }

  /** Stop reading, as the connection has ended. What is missing is missing still. */
  stop() {
    this.#clock.clearTimeout(this.#timer);
  }

  /**
   * Read what is missing, if anything is. The `room-state` has only the last messages, and no private ones.
   *
   * @param {View} view Where the messages go.
   * @param {(cursor: string | null, settle: (reply: Frame) => void) => void} list Asks for a page; replies come while it is of use.
   * @param {(news: News[]) => void} emit
   */
  read(view, list, emit) {
    if (this.#missing === null) return;
    const { after, isNews } = this.#missing;
    /** @type {Message[]} */
    const said = [];
    let pages = 0;
    const done = (/** @type {News[]} */ news) => {
      this.#missing = null;
      emit(news);
    };
    const complete = (/** @type {News[]} */ news) => done(isNews || !news.length ? news : [{ type: "change", detail: {} }]);
    const ask = (/** @type {string | null} */ cursor) =>
      list(cursor, (reply) => {
        const later = secondsOf(reply.retryAfter);
        if (reply.type === "error" && later !== null) {
          this.#timer = this.#clock.setTimeout(() => ask(cursor), Math.max(SHORTEST_PAUSE, later * 1000));
          return;
        }
        const isPage = reply.type === "messages" && Array.isArray(reply.messages) && reply.messages.every(hasId);
        if (isPage) said.push(...reply.messages);
        pages += 1;
        // A page may be shorter than was asked for: only `nextCursor` says whether another one follows.
        if (isPage && reply.nextCursor == null) complete(view.catchUp(after, said));
        else if (isPage && pages < PAGES) ask(reply.nextCursor);
        else done(view.skip(after));
      });
    ask(after);
  }
}
