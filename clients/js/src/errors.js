/** Refusals: what the server said no to, and how the client reports that it could not ask. */

/** @import { Frame } from "./types.js" */

const LONGEST = 3600; // seconds that are waited at most, however long the server asks for; `setTimeout` ends at 2^31 ms

/** The server said no, or could not be asked: then `statusCode` is 0. */
export class Refusal extends Error {
  /**
   * @param {number} statusCode
   * @param {string} code
   * @param {string} message
   * @param {number | null} [retryAfter]
   * @param {string | null} [oldest]
   */
  constructor(statusCode, code, message, retryAfter = null, oldest = null) {
    super(message);
    this.name = "Refusal";
    /** Like that of HTTP; 0 when it does not come from the server. */
    this.statusCode = statusCode;
    /** For programs, like "room_locked". */
    this.code = code;
    /** Seconds after which trying again may help; null where it does not. */
    this.retryAfter = retryAfter;
    /** With "position_expired": the position of the event log to go on from. Else null. */
    this.oldest = oldest;
  }
}

/**
 * Read the refusal that an `error` frame carries.
 *
 * @param {Frame} frame
 */
export function refusalOf(frame) {
  return new Refusal(frame.statusCode, frame.code, frame.message, secondsOf(frame.retryAfter), frame.oldest ?? null);
}

/** Make the refusal of a request that no server can answer. */
export function disconnected() {
  return new Refusal(0, "disconnected", "There is no connection to the room");
}

/** Make the refusal of a request that the server did not answer in time. */
export function noAnswer() {
  return new Refusal(0, "no_answer", "The server did not answer in time");
}

/** Make the refusal of a token, where the server gave no words of its own. */
export function notAccepted() {
  return new Refusal(401, "invalid_token", "The server does not accept the token");
}

/**
 * Read how many seconds the server asks the client to wait: null where it is no number; an hour at most.
 *
 * @param {unknown} retryAfter
 */
export function secondsOf(retryAfter) {
  return Number.isFinite(retryAfter) ? Math.min(LONGEST, Math.max(0, /** @type {number} */ (retryAfter))) : null;
}
