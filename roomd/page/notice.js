/** The notice: the view while one waits for the meeting, is refused, or has left it. */

import { find, make } from "./dom.js";

/**
 * @typedef {object} Notice
 * @property {string} icon
 * @property {string} title
 * @property {string} text
 * @property {[string, () => void][]} buttons their words and what they do, the likeliest first
 * @property {number} [position] in the queue, for who waits
 */

/**
 * Fill the notice in. A place in a queue that only moves keeps the buttons, and the focus on them.
 * @param {Notice} notice
 * @returns {boolean} whether this is another notice than the one that is shown, if one is
 */
export function fillNotice({ icon, title, text, buttons, position = 0 }) {
  const list = find("notice-actions", HTMLElement);
  const place = find("notice-position", HTMLElement);
  find("notice-icon", SVGUseElement).setAttribute("href", `#i-${icon}`);
  find("notice-title", HTMLElement).textContent = title;
  find("notice-text", HTMLElement).textContent = text;
  place.textContent = String(position);
  place.hidden = position === 0;
  const words = buttons.map(([words]) => words);
  const shown = [...list.children].map((button) => button.textContent);
  const isAnother = Boolean(find("notice", HTMLElement).hidden) || shown.join() !== words.join();
  if (isAnother) {
    const made = words.map((each) => make("button", { type: "button", className: "button" }, each));
    if (!position) made[0]?.classList.add("primary"); // to stop waiting is not the likeliest choice
    list.replaceChildren(...made);
  }
  for (const [index, [, action]] of buttons.entries()) {
    /** @type {HTMLElement} */ (list.children[index]).onclick = () => action();
  }
  return isAnother;
}
