/** The banner of a meeting whose connection is lost; who waits reads the same in the notice. */

import { find } from "./dom.js";
import { reconnecting } from "./words.js";

const $ = (/** @type {string} */ id) => find(id, HTMLElement);
/** @type {ReturnType<typeof setInterval> | undefined} */
let countdown;

/** Show that the connection is there. */
export function showConnected() {
  stopCountdown();
  $("banner").hidden = true;
  $("banner-said").textContent = "";
}

/** Count down no longer. */
export function stopCountdown() {
  clearInterval(countdown);
}

/**
 * Count down to the next attempt.
 * @param {number} seconds until then
 */
export function showReconnecting(seconds) {
  clearInterval(countdown);
  let left = Math.ceil(seconds);
  const tick = () => {
    const target = $("meeting").hidden ? $("notice-text") : $("banner-text");
    target.textContent = reconnecting(left--);
    if (left < 0) clearInterval(countdown);
  };
  $("banner").hidden = false;
  if (!$("banner-said").textContent) $("banner-said").textContent = reconnecting(0); // once, not every second
  countdown = setInterval(tick, 1000);
  tick();
}
