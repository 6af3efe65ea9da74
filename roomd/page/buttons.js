/** The buttons that switch devices, and what the page says while the browser asks for them, or refuses. */

import { find } from "./dom.js";
import { toast } from "./toasts.js";
import { asking, mediaTrouble } from "./words.js";

/** @import { DeviceName, Media } from "./media.js" */

/** The devices by their buttons. @type {Record<string, DeviceName>} */
const DEVICE = { mic: "microphone", camera: "camera" };

const $ = (/** @type {string} */ id) => find(id, HTMLElement);
/** The toast that says what the browser asks. @type {HTMLElement | null} */
let question = null;

/**
 * Let the buttons switch the devices.
 * @param {Media} media
 */
export function wireDevices(media) {
  for (const id of ["mic", "preview-mic"]) onClick(id, () => media.toggleMicrophone());
  for (const id of ["camera", "preview-camera"]) onClick(id, () => media.toggleCamera());
  onClick("screen", () => media.toggleScreen());
  media.addEventListener("change", () => showQuestion(media));
}

/**
 * In the meeting, say what the browser asks.
 * @param {Media} media
 */
function showQuestion(media) {
  question?.remove();
  question = media.asked.size && $("entrance").hidden ? toast(asking([...media.asked]), { lasts: true }) : null;
}

/**
 * Do something when a button is pressed.
 * @param {string} id
 * @param {() => unknown} action may return a promise; a DOMException is trouble with a device
 */
export function onClick(id, action) {
  $(id).addEventListener("click", async () => {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      if (id === "screen" && error.name === "NotAllowedError") return; // the person has cancelled
      if ($("entrance").hidden) toast(mediaTrouble(DEVICE[id] ?? "screen", error));
    }
  });
}
