/** Connection: one WebSocket with its requests, and whether the server still answers. */

import { noAnswer } from "./errors.js";
import { parse } from "./frames.js";
import { encode } from "./requests.js";

/** @import { Settle } from "./requests.js" */
/** @import { Clock, Frame, Socket } from "./types.js" */

// Milliseconds, as `setTimeout` takes them.
export const OPENING = 10_000; // until the connection must be open, then until the first reply, and until the seat is had
const IDLE = 12_000; // of silence, after which a ping asks whether the server still answers
export const ANSWER = 5_000; // until something must have come after that
const REPLY = 10_000; // until a request must have been answered

export class Connection {
  /** When the last frame came, in milliseconds of the clock; 0 before the first. */
  heardAt = 0;
  #socket;
  #clock;
  #nextId;
  #maxFrame;
  #on;
  #isOver = false;
  /** Something must come until `#dueAt`: a first reply, or the `pong` to a ping. */
  #mustHear = true;
  /** Milliseconds for that `pong`; null when no ping was sent. @type {number | null} */
  #patience = null;
  #dueAt = 0;
  /** @type {any} */
  #timer = null;
  /** @type {Map<unknown, {settle: Settle, timer: any}>} */
  #pending = new Map();

  /**
   * @param {Socket} socket
   * @param {Clock} clock
   * @param {() => number} nextId
   * @param {number | undefined} maxFrame Bytes the server accepts in a frame.
   * @param {{open(): void, frame(frame: Frame): void, end(code: number, reason: string): void}} on `frame` takes every
   *   frame, a reply before its request is settled.
   */
  constructor(socket, clock, nextId, maxFrame, on) {
    this.#socket = socket;
    this.#clock = clock;
    this.#nextId = nextId;
    this.#maxFrame = maxFrame;
    this.#on = on;
    socket.addEventListener("open", () => this.#opened());
    socket.addEventListener("message", (event) => this.#received(event.data));
    socket.addEventListener("close", (event) => this.end(event.code ?? 1006, event.reason ?? ""));
    // A `close` follows; in some implementations it does not if the connection could not be made.
    socket.addEventListener("error", () => this.#isOver || this.#arm(100));
    this.#arm(OPENING);
  }

  get isOpen() {
    return !this.#isOver && this.#socket.readyState === 1;
  }

  /**
   * Send a request. The reply settles it; after a `waiting` another reply to it will follow. Without one, an `error` of
   * the client's own with the code "no_answer" settles it after 10 seconds.
   *
   * Throws `Refusal` with the code "too_long".
   *
   * @param {string} type
   * @param {Record<string, unknown>} fields
   * @param {Settle} settle
   * @param {number | string} [id] Of the request; a number that no other has by default.
   */
  ask(type, fields, settle, id = this.#nextId()) {
    const text = encode(id, type, fields, this.#maxFrame);
    this.#pending.set(id, { settle, timer: this.#clock.setTimeout(() => this.#unanswered(id), REPLY) });
    this.#socket.send(text);
  }

  /**
   * Find out at once whether the server still answers.
   *
   * @param {number} patience Milliseconds until something must have come.
   */
  probe(patience) {
    if (!this.isOpen) return;
    if (this.#mustHear) {
      if (this.#patience !== null) this.#patience = Math.min(patience, this.#patience);
      if (this.#dueAt > this.#clock.now() + patience) this.#arm(patience);
      return;
    }
    this.#mustHear = true;
    this.#patience = patience;
    this.#socket.send('{"type":"ping"}');
    this.#arm(patience);
  }

  /**
   * Be over: whatever still comes is ignored. Ending twice is fine.
   *
   * @param {number} code
   * @param {string} reason
   */
  end(code, reason) {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#clock.clearTimeout(this.#timer);
    try {
      this.#socket.close();
    } catch {
      // Nothing is left to close.
    }
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { timer } of pending) this.#clock.clearTimeout(timer);
    for (const { settle } of pending) settle(null);
    this.#on.end(code, reason);
  }

  #opened() {
    if (this.#isOver) return;
    this.#arm(OPENING);
    this.#on.open();
  }

  /** @param {unknown} data */
  #received(data) {
    if (this.#isOver) return;
    this.heardAt = this.#clock.now();
    const frame = parse(data);
    if (frame === null) return;
    // A frame that was sent before the ping arrived proves nothing about now: it only gives the `pong` more time.
    if (this.#patience !== null && frame.type !== "pong") this.#arm(this.#patience);
    else if (this.#mustHear) {
      this.#mustHear = false;
      this.#patience = null;
    }
    const pending = this.#pending.get(frame.id);
    this.#clock.clearTimeout(pending?.timer);
    if (frame.type !== "waiting") this.#pending.delete(frame.id);
    this.#on.frame(frame);
    pending?.settle(frame);
  }

  /** @param {unknown} id */
  #unanswered(id) {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    const { statusCode, code, message } = noAnswer();
    pending?.settle({ type: "error", statusCode, code, message });
    this.probe(ANSWER);
  }

  /** @param {number} milliseconds */
  #arm(milliseconds) {
    this.#clock.clearTimeout(this.#timer);
    this.#dueAt = this.#clock.now() + milliseconds;
    this.#timer = this.#clock.setTimeout(() => this.#due(), milliseconds);
  }

  #due() {
    if (this.#mustHear || this.#socket.readyState > 1) return this.end(1006, "The server does not answer");
    const silent = this.#clock.now() - this.heardAt;
    if (silent < IDLE) this.#arm(IDLE - silent);
    else this.probe(ANSWER);
  }
}
