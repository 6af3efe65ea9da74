/** Dialogs before something that cannot be undone. Escape and a click beside a dialog mean no. */

import { bdi, find } from "./dom.js";

/** @import { Participant } from "./client/roomd.js" */

/**
 * Ask whether to remove someone; null means no.
 * @param {Participant} person
 * @param {string} name
 * @returns {Promise<{ban: boolean, reason?: string} | null>}
 */
export async function askRemove(person, name) {
  const isUser = person.guestName === null;
  const ban = find("remove-ban", HTMLInputElement);
  const reason = find("remove-reason", HTMLInputElement);
  find("remove-title", HTMLElement).replaceChildren("Remove ", bdi(name), "?");
  find("remove-guest", HTMLElement).hidden = isUser;
  ban.checked = false;
  reason.value = "";
  if ((await ask("remove-dialog")) !== "remove") return null;
  const words = reason.value.trim();
  return { ban: ban.checked, ...(words && { reason: words }) };
}

/**
 * Ask a host how to leave; "" and "cancel" mean not at all.
 * @returns {Promise<string>}
 */
export function askLeave() {
  return ask("leave-dialog");
}

/** Close all dialogs, when they no longer matter. */
export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
}

/**
 * @param {string} id
 * @returns {Promise<string>}
 */
function ask(id) {
  const dialog = find(id, HTMLDialogElement);
  dialog.returnValue = "";
  dialog.showModal();
  // It is no submit button, since Enter presses the first one of those.
  const cancel = /** @type {HTMLElement | null} */ (dialog.querySelector("[data-cancel]"));
  if (cancel) cancel.onclick = () => dialog.close();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue);
    dialog.onclick = (event) => {
      if (event.target === dialog && isOutside(dialog, event)) dialog.close();
    };
  });
}

/**
 * @param {HTMLElement} dialog
 * @param {MouseEvent} event
 */
function isOutside(dialog, event) {
  const box = dialog.getBoundingClientRect();
  return event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
}
