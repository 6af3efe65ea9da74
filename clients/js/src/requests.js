/** Requests: their text, and the promises of their replies. */

import { Refusal, disconnected, refusalOf } from "./errors.js";

/** @import { Frame } from "./types.js" */

const MAX_FRAME = 65_536;

/** @typedef {(reply: Frame | null) => void} Settle Takes a reply, or null when none can come any more. */

/**
 * @template T
 * @typedef {{promise: Promise<T>, resolve: (value: T) => void, reject: (error: unknown) => void}} Deferred
 */

/**
 * Write a request. Throws `Refusal` with the code "too_long", since the server would close the connection.
 *
 * @param {number | string} id
 * @param {string} type
 * @param {Record<string, unknown>} fields
 * @param {number} [maxFrame] Bytes.
 */
export function encode(id, type, fields, maxFrame = MAX_FRAME) {
  const text = wellFormed(JSON.stringify({ ...fields, type, id }));
  // A UTF-16 unit takes at most three bytes.
  if (text.length * 3 > maxFrame && new TextEncoder().encode(text).length > maxFrame)
    throw new Refusal(0, "too_long", "This is too long to be sent");
  return text;
}

/**
 * Replace what is no Unicode by U+FFFD: `JSON.stringify` writes half of a surrogate pair, such as `slice` leaves of an
 * emoji, as an escape like `\\ud83d`, and no server can read it.
 *
 * @param {string} json As `JSON.stringify` writes it.
 */
function wellFormed(json) {
  return json.includes("\\ud") ? json.replace(/\\(?:ud[0-9a-f]{3}|.)/g, (escape) => (escape.startsWith("\\ud") ? "\ufffd" : escape)) : json;
}

/**
 * Make a promise; one that rejects and is not looked at is no unhandled rejection.
 *
 * @returns {Deferred<any>}
 */
export function defer() {
  /** @type {any} */
  const deferred = {};
  deferred.promise = new Promise((resolve, reject) => Object.assign(deferred, { resolve, reject }));
  deferred.promise.catch(() => {});
  return deferred;
}

/**
 * Settle a promise by the reply: an `error` rejects it, and so does the end of the connection.
 *
 * @param {Pick<Deferred<any>, "resolve" | "reject">} deferred
 * @returns {Settle}
 */
export function settleBy({ resolve, reject }) {
  return (reply) => {
    if (reply === null) reject(disconnected());
    else if (reply.type === "error") reject(refusalOf(reply));
    else resolve(reply);
  };
}
