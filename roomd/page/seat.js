/** The seat of a person in this tab: where it is asked for, where it is kept, and for how long. */

import { Meeting } from "./client/roomd.js";
import { claimsOf } from "./outside.js";
import { session } from "./storage.js";

/** @import { Credentials } from "./entrance.js" */

/** Seconds for which the seat of a closed tab is held: a page that is loaded again is back by then. */
const HOLD = 10;

/** The address of the WebSocket: beside the page, wherever a proxy has put that. */
export function socketUrl() {
  const path = document.querySelector("meta[name=roomd-path]")?.getAttribute("content") ?? "/ws";
  const url = new URL(`.${path}`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
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
  const meeting = new Meeting(socketUrl(), { code, wait, store, ...(token ? { token } : { guestName: name }) });
  void meeting.updateConnection({ hold: HOLD });
  return meeting;
}
