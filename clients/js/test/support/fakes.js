/** A network and a clock that do what a test says, and nothing else. */

import assert from "node:assert/strict";

/** @import { Frame } from "../../src/roomd.js" */

/** Let everything happen that waits for nothing but its turn. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

export class FakeClock {
  time = 1000;
  /** @type {Set<{at: number, callback: () => void}>} */
  timers = new Set();

  now = () => this.time;

  /** @param {() => void} callback @param {number} milliseconds */
  setTimeout = (callback, milliseconds) => {
    const timer = { at: this.time + milliseconds, callback };
    this.timers.add(timer);
    return timer;
  };

  /** @param {any} timer */
  clearTimeout = (timer) => void this.timers.delete(timer);

  /** @param {number} seconds */
  async pass(seconds) {
    const until = this.time + seconds * 1000;
    for (;;) {
      const [next] = [...this.timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.timers.delete(next);
      this.time = Math.max(this.time, next.at);
      next.callback();
      await settle();
    }
    this.time = until;
  }
}

export class FakeSocket extends EventTarget {
  readyState = 0;
  /** What the client said. @type {Frame[]} */
  sent = [];
  /** The client has closed. */
  isLeft = false;

  /** @param {string} url @param {string[]} protocols */
  constructor(url, protocols) {
    super();
    this.url = url;
    this.protocols = protocols;
  }

  /** @param {string} data */
  send(data) {
    assert.equal(this.readyState, 1, `not open: ${data}`);
    this.sent.push(JSON.parse(data));
  }

  close() {
    this.isLeft = true;
    if (this.readyState < 2) this.readyState = 2;
  }

  // What a test makes happen.

  open() {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }

  /** @param {...object} frames Told in one go, as some WebSockets do. */
  tell(...frames) {
    for (const frame of frames) this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(frame) }));
  }

  /** @param {number} code */
  drop(code = 1006) {
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason: "" }));
  }

  /** Take the next thing the client said. @param {string} type */
  heard(type) {
    const frame = this.sent.shift();
    assert.equal(frame?.type, type);
    return /** @type {Frame} */ (frame);
  }
}

export class FakeHints extends EventTarget {
  visibilityState = "visible";
  listeners = 0;

  /** @param {string} type @param {() => void} listener */
  addEventListener(type, listener) {
    this.listeners += 1;
    super.addEventListener(type, listener);
  }

  /** @param {string} type @param {() => void} listener */
  removeEventListener(type, listener) {
    this.listeners -= 1;
    super.removeEventListener(type, listener);
  }
}
