/** Toasts: short messages that disappear by themselves. */

import { find, make } from "./dom.js";

/** Milliseconds that a toast stays; longer when it has something to press. */
const STAY = 5_000;
const STAY_WITH_BUTTON = 15_000;
/** How many stay at once. */
const MOST = 3;

/**
 * Show a toast.
 * @param {string | (Node | string)[]} words
 * @param {object} [options]
 * @param {string} [options.button] something to press
 * @param {() => void} [options.action] what the button does
 * @param {boolean} [options.lasts] until it is removed
 * @returns {HTMLElement} to be removed when it is no longer true
 */
export function toast(words, { button, action, lasts = false } = {}) {
  const list = find("toasts", HTMLElement);
  const box = make("div", { className: "toast" }, make("span", {}, ...[words].flat()));
  if (button) {
    const press = make("button", { type: "button" }, button);
    press.addEventListener("click", () => {
      box.remove();
      action?.();
    });
    box.append(press);
  }
  list.append(box);
  while (list.children.length > MOST) list.firstElementChild?.remove();
  if (!lasts) setTimeout(() => box.remove(), button ? STAY_WITH_BUTTON : STAY);
  return box;
}

/** Remove all toasts. */
export function clearToasts() {
  find("toasts", HTMLElement).replaceChildren();
}
