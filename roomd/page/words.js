/** The page's words for refusals, ends and problems, by the codes of the protocol. */

/** @import { Place } from "./client/roomd.js" */
/** @import { DeviceName } from "./media.js" */

const LOST = "Connection lost.";
const DEVICES = /** @type {const} */ (["camera", "microphone"]);

/** @typedef {"again" | "here" | "unlock" | "wait" | "back" | "home"} Offer */

/**
 * @typedef {object} Words
 * @property {string} title
 * @property {string} text
 * @property {string} icon
 * @property {Offer[]} actions what to offer, the likeliest first
 */

/** @type {Record<string, Words>} */
const ENDINGS = {
  left: {
    title: "You left the meeting",
    text: "",
    icon: "bye",
    actions: ["again", "home"],
  },
  stopped: {
    title: "You stopped waiting",
    text: "",
    icon: "bye",
    actions: ["again", "home"],
  },
  room_ended: {
    title: "The meeting has ended",
    text: "The host ended it for everyone.",
    icon: "bye",
    actions: ["home"],
  },
  removed: {
    title: "You were removed",
    text: "The host removed you from this meeting.",
    icon: "stop",
    actions: ["home"],
  },
  banned: {
    title: "You cannot come back",
    text: "The host removed you from this room for good.",
    icon: "stop",
    actions: ["home"],
  },
  denied: {
    title: "You were not let in",
    text: "The host declined your request to join.",
    icon: "stop",
    actions: ["again", "home"],
  },
  taken_over: {
    title: "You joined from somewhere else",
    text: "Your seat is in use in another window or on another device.",
    icon: "people",
    actions: ["here", "home"],
  },
  seat_expired: {
    title: "Your seat is gone",
    text: "You were away for too long. You can join again.",
    icon: "clock",
    actions: ["again", "home"],
  },
  room_full: {
    title: "The room is full",
    text: "You can wait for a seat: those that come free go to who waits longest.",
    icon: "people",
    actions: ["wait", "back"],
  },
  room_locked: {
    title: "The room is locked",
    text: "The host lets nobody new in at the moment.",
    icon: "lock",
    actions: ["again", "back"],
  },
  room_inactive: {
    title: "The meeting is over",
    text: "The host ended this meeting. A new one has another code.",
    icon: "bye",
    actions: ["home"],
  },
  room_not_found: {
    title: "There is no such room",
    text: "Check the code: nine letters or more, like abc-def-ghi.",
    icon: "stop",
    actions: ["back"],
  },
  guests_not_allowed: {
    title: "Members only",
    text: "Guests are not allowed in this room. Join with a token.",
    icon: "lock",
    actions: ["back"],
  },
  not_allowed: {
    title: "Your token does not allow this",
    text: "Ask for one that does.",
    icon: "lock",
    actions: ["back"],
  },
  wrong_room: {
    title: "Your token is for another room",
    text: "Ask for one that is good for this room, or check the code.",
    icon: "lock",
    actions: ["back"],
  },
  invalid_token: {
    title: "Your token is not valid",
    text: "Ask for a new one, or join as a guest without it.",
    icon: "lock",
    actions: ["back"],
  },
  token_expired: {
    title: "Your token has expired",
    text: "Ask for a new one, or join as a guest without it.",
    icon: "clock",
    actions: ["back"],
  },
  unreachable: {
    title: "The server cannot be reached",
    text: "It may be restarting, or your network may be down. Try again in a moment.",
    icon: "stop",
    actions: ["again", "back"],
  },
  rate_limited: {
    title: "Too many requests",
    text: "Wait a moment, then try again.",
    icon: "clock",
    actions: ["again", "back"],
  },
  unavailable: {
    title: "The server has trouble",
    text: "Nothing was changed. Try again in a moment.",
    icon: "stop",
    actions: ["again", "back"],
  },
  restarting: {
    title: "The server is restarting",
    text: "Try again in a few seconds.",
    icon: "clock",
    actions: ["again", "back"],
  },
};
ENDINGS.bad_token = /** @type {Words} */ (ENDINGS.invalid_token);

/** What is said of a room that no host ended, by the reason. @type {Record<string, string>} */
const ROOM_ENDINGS = {
  expired: "Its time is over.",
  empty: "Nobody had been here for a while.",
  deleted: "It was deleted.",
};

/** Refusals that are about a field of the form, and are shown beside it. */
export const FIELDS = /** @type {const} */ ({
  guest_name_required: ["name", "Enter your name."],
  invalid_guest_name: ["name", "1 to 50 characters, none of them invisible, please."],
  room_not_found: ["code", "There is no room with this code."],
  wrong_room: ["token", "This token is for another room."],
  invalid_token: ["token", "This token is not valid. Leave it out to join as a guest."],
  bad_token: ["token", "This token is not valid any more, or never was. Leave it out to join as a guest."],
  token_expired: ["token", "This token has expired. Leave it out to join as a guest."],
});

/**
 * Describe an end or a refusal.
 * @param {string} code
 * @param {string} message the server's words
 * @param {string | null} [reason] the host's words; of the end of a room, why it ended by itself
 * @param {boolean} [waited] whether to wait for a seat was asked for already
 * @returns {Words}
 */
export function ending(code, message, reason = null, waited = false) {
  const words = ENDINGS[code];
  if (!words) return { title: "That did not work", text: message, icon: "stop", actions: ["again", "back"] };
  if (code === "room_full" && waited) return { ...words, text: `${message}.`, actions: ["again", "back"] };
  if (code === "room_full") return { ...words, text: `${message}. ${words.text}` };
  if (code === "room_ended") return { ...words, text: ROOM_ENDINGS[reason ?? ""] ?? words.text };
  return reason ? { ...words, text: `${words.text}\nThey said: “${reason}”` } : words;
}

/**
 * Describe what one waits for.
 * @param {Place} place
 */
export function waiting(place) {
  return place.reason === "waiting_room"
    ? {
        title: "Waiting for the host",
        text: "The host has been told that you are here and will let you in. Keep this page open.",
      }
    : {
        title: "Waiting for a seat",
        text: "The room is full. You come in by yourself as soon as it is your turn. Keep this page open.",
      };
}

/**
 * Describe how many come first.
 * @param {number} position
 */
export function queue(position) {
  if (position === 1) return "You are next";
  return position === 2 ? "1 person is before you" : `${position - 1} people are before you`;
}

/**
 * Describe a connection that is lost.
 * @param {number} seconds until the next attempt; 0: now
 */
export function reconnecting(seconds) {
  if (seconds <= 0) return `${LOST} Reconnecting…`;
  return `${LOST} Your seat is kept; trying again in ${seconds} s`;
}

/** @param {DeviceName[]} names */
const listed = (names) => names.map((name) => `the ${name}`).join(" and ");

/**
 * Describe why a device cannot be used, and what helps.
 * @param {DeviceName | "screen"} name
 * @param {unknown} error what the browser threw
 */
export function mediaTrouble(name, error) {
  const code = error instanceof DOMException ? error.name : "";
  const press = `then press the ${name} button`;
  const words = {
    NotAllowedError: `The browser was not allowed to use the ${name}. Allow it beside the address of this page, ${press}.`,
    NotFoundError: `No ${name} was found. Connect one, ${press}.`,
    NotReadableError: `Another program is using the ${name}. Close that program, ${press}.`,
    AbortError: `The ${name} could not be started. Close other programs that use it, ${press}.`,
    SecurityError: "Browsers give camera and microphone only to https:// pages. Open this page by https://.",
  }[code];
  return words ?? `The ${name} cannot be used. Check that it is connected, ${press}.`;
}

/**
 * Describe what the browser asks the person now.
 * @param {DeviceName[]} names
 */
export function asking(names) {
  return `The browser asks whether this page may use ${listed(names)}. Answer it beside the address of this page.`;
}

/**
 * Describe what is missing before joining, and what helps; empty when nothing is.
 * @param {Partial<Record<DeviceName, unknown>>} trouble what the browser threw
 * @param {boolean} isHeard
 * @param {boolean} isSeen
 */
export function preview(trouble, isHeard, isSeen) {
  const words = new Set(DEVICES.filter((name) => name in trouble).map((name) => mediaTrouble(name, trouble[name])));
  if (words.size === 0) return "";
  const rest = isHeard ? "The others will hear you." : isSeen ? "The others will see you." : "You can join and watch.";
  return [...words, rest].join(" ");
}

/**
 * Describe a refusal inside the meeting, for a toast.
 * @param {unknown} error
 */
export function refusal(error) {
  const code = error instanceof Error && "code" in error ? error.code : "";
  if (code === "rate_limited") return "That was too fast. Wait a moment and try again.";
  if (code === "participant_not_found") return "They are not here any more.";
  if (code === "not_host") return "Only the host can do this.";
  if (code === "room_full") return "The room is full: there is no seat to let them into.";
  if (code === "no_answer") return "The server did not answer. Try again in a moment.";
  if (code === "disconnected" || !(error instanceof Error && "statusCode" in error)) return `${LOST} Try again in a moment.`;
  return error.message;
}
