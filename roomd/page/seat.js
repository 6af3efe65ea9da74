/** The seat of a person in this tab: where it is asked for, where it is kept, and for how long. */

import { Meeting } from "./client/roomd.js";
import { claimsOf } from "./outside.js";
import { session } from "./storage.js";

/** @import { Credentials } from "./entrance.js" */

/** Seconds for which the seat of a closed tab is held: a page that is loaded again is back by then. */
const HOLD = 10;

/**
 * A WebSocket that closes in order when the page goes for good, which Chromium does not always do for a closed tab. Where
 * the close does not arrive, the seat is held for as long as after a drop.
 */
class PageSocket extends WebSocket {
  /**
   * @param {string} url
   * @param {string[]} protocols
   */
  constructor(url, protocols) {
    super(url, protocols);
    const gone = new AbortController();
    addEventListener("pagehide", ({ persisted }) => persisted || this.close(1000), { signal: gone.signal });
    this.addEventListener("close", () => gone.abort());
  }
}

/**
 * The address of the WebSocket: beside the page, wherever a proxy has put that. Where several nodes serve the rooms it has
 * the code of the room, so that a balancer can lead the people of a room to one node.
 * @param {string} [code]
 */
export function socketUrl(code = "") {
  const path = document.querySelector("meta[name=roomd-path]")?.getAttribute("content") ?? "/ws";
  const url = new URL(`.${path}`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  if (url.searchParams.has("room")) url.searchParams.set("room", code);
  return url.href;
}

/**
 * Make the meeting of a person in a room. Each user has a kept seat of their own; guests have one.
 * @param {Credentials} who
 * @param {boolean} wait for a seat, when the room is full
 */
export function meetingOf({ code, name, token }, wait) {
  const prefix = `${token ? claimsOf(token).sub : ""}/`;
  const store = {
    get: (/** @type {string} */ key) => session.get(prefix + key),
    set: (/** @type {string} */ key, /** @type {string} */ value) => session.set(prefix + key, value),
    remove: (/** @type {string} */ key) => session.remove(prefix + key),
  };
  const who = token ? { token } : { guestName: name };
  const meeting = new Meeting(socketUrl(code), { code, wait, store, WebSocket: PageSocket, ...who });
  void meeting.updateConnection({ hold: HOLD });
  return meeting;
}
