/** The wish: what a person wants to be on, over reloads, waiting and joining again. Only what is wished is ever opened. */

import { session } from "./storage.js";

/** @typedef {"microphone" | "camera" | "hand"} Wished */

const KEY = "roomd.wish";

/** @type {Record<Wished, boolean>} */
export const wish = { microphone: true, camera: true, hand: false };
try {
  for (const [name, value] of Object.entries(JSON.parse(session.get(KEY) ?? "{}")))
    if (name in wish && typeof value === "boolean") wish[/** @type {Wished} */ (name)] = value;
} catch {
  // not what this page has written
}

/**
 * Note what the person chose.
 * @param {Wished} name
 * @param {boolean} value
 */
export function choose(name, value) {
  wish[name] = value;
  session.set(KEY, JSON.stringify(wish));
}
