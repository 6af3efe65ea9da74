/** What the client takes from the browser or from Node. */

/** @import { Clock, Hints, MeetingTarget, SeatLocks, SocketClass } from "./types.js" */

/** The global objects, as far as there are any. @type {typeof globalThis & {WebSocket?: SocketClass, window?: Hints, document?: Hints, CustomEvent?: any, navigator?: {locks?: SeatLocks}}} */
export const world = globalThis;

/** @type {Clock} */
export const CLOCK = {
  now: () => performance.now(),
  setTimeout: (callback, milliseconds) => setTimeout(callback, milliseconds),
  clearTimeout: (timer) => clearTimeout(timer),
};

/** `EventTarget`, with the types of a meeting's events. */
export const Target = /** @type {new () => MeetingTarget} */ (/** @type {unknown} */ (EventTarget));

/** `CustomEvent`, which Node 18 does not have. @type {new (type: string, init: {detail: unknown}) => Event} */
export const DetailEvent =
  world.CustomEvent ??
  class extends Event {
    /**
     * @param {string} type
     * @param {{detail: unknown}} init
     */
    constructor(type, { detail }) {
      super(type);
      this.detail = detail;
    }
  };
