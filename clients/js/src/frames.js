/** Reading frames: whether they have the shape that the client relies on. Other keys are taken as they come. */

/** @import { Frame } from "./types.js" */

/**
 * Read a frame; null where the data is none.
 *
 * @param {unknown} data
 * @returns {Frame | null}
 */
export function parse(data) {
  try {
    const frame = JSON.parse(/** @type {string} */ (data));
    return typeof frame?.type === "string" ? frame : null;
  } catch {
    return null;
  }
}

/** @param {any} value */
export function hasId(value) {
  return typeof value?.id === "string";
}

/** @param {Frame} frame A `participants-changed`. */
export function isChange({ joined, updated, left }) {
  return [joined, updated, left].every((list) => Array.isArray(list) && list.every(hasId));
}

/** @param {Frame} frame A `room-state`. */
export function isState({ seq, room, participants, messages = [] }) {
  return Number.isInteger(seq) && hasId(room) && [participants, messages].every((list) => Array.isArray(list) && list.every(hasId));
}

/**
 * Compare values that came as JSON.
 *
 * @param {unknown} a
 * @param {unknown} b
 */
export function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}
