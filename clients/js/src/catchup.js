/**
 * Catch-up: reading the messages that this client missed while it had no connection.
 *
 * `room-state` shows the last public messages and no private ones, so the client reads the rest by `list-messages`: from
 * the last message it knows, page by page, by the server's cursors. Messages that arrive meanwhile are held back, so that
 * every message is told in order and once.
 *
 * Everything is bounded. After `MOST_PAGES` pages the client gives up the middle: it reads on from the first message that
 * `room-state` showed. When more than `MOST_MESSAGES` were sent, it keeps the newest. In both cases what is kept has no
 * holes, and `hasGap` says that something before it is missing.
 */

import { secondsOf } from "./errors.js";
import { hasId } from "./frames.js";

/** @import { Message } from "./protocol.js" */
/** @import { Frame } from "./types.js" */

/** The `id` of these requests. It tells their replies from the replies to the application's own requests. */
export const CATCH_UP = "catch-up";
export const MOST_MESSAGES = 500; // kept

const PAGE = 200; // messages asked for at once: the most that the protocol allows; the server may give fewer
const MOST_PAGES = 10; // requests before the client gives up the middle, and as many again before it stops
const SHORTEST_WAIT = 0.5; // seconds after a refusal that says that asking again helps
const LONGEST_WAIT = 30; // seconds: a server that asks for a longer pause between two pages is not asked again

/** One reading of missed messages. Pure: `request` returns what to send, `read` takes the reply. */
export class CatchUp {
  /** Seconds to wait before the next request. */
  delay = 0;
  /** A page was asked for on this connection, and its reply has not come. */
  isAsked = false;
  /** The next reply answers a request of an earlier reading on this connection: it says nothing. */
  isLate = false;
  /** Messages right before those that `messages()` returns are missing. */
  hasGap = false;
  /** @type {string | null} */
  #cursor;
  #shown;
  /** @type {Message[]} */
  #read = [];
  /** @type {Message[]} */
  #heldBack = [];
  #requests = 0;

  /**
   * @param {string | null} after The id of the last message before the gap; null: from the first message of the room on.
   * @param {Message[]} shown The messages of `room-state` to keep when the rest cannot be read.
   * @param {boolean} [isNews] False for messages from before this client joined: no event tells them.
   */
  constructor(after, shown, isNews = true) {
    this.after = after;
    this.isNews = isNews;
    this.#cursor = after;
    this.#shown = shown;
  }

  /** The messages that arrived during the reading. */
  get heldBack() {
    return this.#heldBack;
  }

  /**
   * Return the fields of the request for the next page.
   *
   * @param {string} code The room's.
   */
  request(code) {
    return { code, cursor: this.#cursor, limit: PAGE };
  }

  /**
   * Keep a message that arrived during the reading.
   *
   * @param {Message} message
   */
  holdBack(message) {
    this.#heldBack = this.#newest([...this.#heldBack, message]);
  }

  /**
   * Take the reply to `request`.
   *
   * @param {Frame} reply
   * @returns {boolean} Whether the reading is finished.
   */
  read(reply) {
    this.isAsked = false;
    if (this.isLate) return (this.isLate = false);
    this.delay = 0;
    this.#requests += 1;
    const later = secondsOf(reply.retryAfter);
    if (reply.type === "messages" && Array.isArray(reply.messages) && reply.messages.every(hasId)) {
      this.#read = this.#newest([...this.#read, ...reply.messages]);
      // A page may be shorter than was asked for: only `nextCursor` says whether another one follows.
      if (reply.nextCursor == null) return true;
      this.#cursor = reply.nextCursor;
    } else if (later !== null && later <= LONGEST_WAIT) {
      this.delay = Math.max(SHORTEST_WAIT, later);
    } else {
      this.giveUp();
      return true;
    }
    if (this.#requests === MOST_PAGES && this.#shown[0] && this.isNews) this.#skipTo(this.#shown[0]);
    else if (this.#requests >= 2 * MOST_PAGES) this.giveUp();
    return this.#requests >= 2 * MOST_PAGES;
  }

  /** Stop reading: only what `room-state` showed and what arrived since is known. */
  giveUp() {
    this.hasGap = true;
    this.#read = this.#shown;
  }

  /** Return the messages after the gap, in order and without holes. */
  messages() {
    const read = new Set(this.#read.map(({ id }) => id));
    return this.#newest([...this.#read, ...this.#heldBack.filter(({ id }) => !read.has(id))]);
  }

  /** @param {Message} first */
  #skipTo(first) {
    this.hasGap = true;
    this.#read = [first];
    this.#cursor = first.id;
  }

  /** @param {Message[]} messages */
  #newest(messages) {
    this.hasGap ||= messages.length > MOST_MESSAGES;
    return messages.slice(-MOST_MESSAGES);
  }
}
