/**
 * The page: from the form at the entrance through waiting and meeting to the end, and back to the form.
 *
 * One `Stay` is one attempt to be in a room: a `Meeting` and the `Mesh` on it. One of three views shows what happens to
 * it: the entrance, the notice (waiting, refused, over) or the meeting, which is drawn again whenever the `Meeting`
 * changes.
 */

import { Announcements } from "./announcements.js";
import { Meeting, Refusal } from "./client/roomd.js";
import { askLeave, askRemove, closeDialogs } from "./dialogs.js";
import { find } from "./dom.js";
import { Entrance, link, rememberToken } from "./entrance.js";
import { Media } from "./media.js";
import { MeetingView } from "./meeting.js";
import { Mesh } from "./mesh.js";
import { fillNotice } from "./notice.js";
import { Chat, People } from "./panels.js";
import { Tiles } from "./tiles.js";
import { clearToasts, toast } from "./toasts.js";
import { FIELDS, Names, ending, mediaTrouble, queue, reconnecting, refusal, waiting } from "./words.js";

/** @import { MeetingEvents, Participant, Place } from "./client/roomd.js" */
/** @import { Credentials } from "./entrance.js" */
/** @import { Notice } from "./notice.js" */
/** @import { Offer } from "./words.js" */

const VIEWS = /** @type {const} */ (["entrance", "notice", "meeting"]);
const PANELS = /** @type {const} */ (["people", "chat"]);
/** Ends after which the token is forgotten: it is of no use, or no longer wanted. */
const FORGETTING = ["left", "bad_token", "wrong_room", "room_ended", "room_inactive"];

const $ = (/** @type {string} */ id) => find(id, HTMLElement);
const narrow = matchMedia("(width <= 760px)"); // as in page.css

const media = new Media();
const entrance = new Entrance(media, (who) => void join(who));
const tiles = new Tiles($("tiles"), () => {
  toast("The browser holds the sound back.", "Turn sound on", () => tiles.play());
});
const people = new People({
  updateRoom: (change) => attempt((meeting) => meeting.updateRoom(change)),
  admit: (id) => void attempt((meeting) => meeting.admit(id)),
  deny: (id) => void attempt((meeting) => meeting.deny(id)),
  admitAll: () => void attempt((meeting) => meeting.admitAll()),
  mute: async (person) => {
    if (await attempt((meeting) => meeting.mute(person.id))) toast(`${nameOf(person)} was asked to mute.`);
  },
  remove: async (person) => {
    const how = await askRemove(person, nameOf(person));
    if (how) await attempt((meeting) => meeting.remove(person.id, how));
  },
});
const chat = new Chat(async (text, to) => {
  if (!stay) throw new Refusal(0, "disconnected", "There is no connection to the room");
  await stay.meeting.say(text, to);
});

const view = new MeetingView({ media, tiles, people, chat });

/**
 * @typedef {object} Stay
 * @property {Credentials} who
 * @property {boolean} wait for a seat, when the room is full
 * @property {Meeting} meeting
 * @property {Names} names
 * @property {Mesh} mesh
 * @property {Map<string, MediaStream>} streams what others send, by participant
 * @property {boolean} hand whether the own hand is raised
 * @property {Announcements} announcements
 */

/** @type {Stay | null} */
let stay = null;
const nameOf = (/** @type {Participant} */ person) => stay?.names.of(person) ?? person.displayName;
/** @type {ReturnType<typeof setInterval> | undefined} */
let countdown;
let drawing = false;

// A stay

/**
 * @param {Credentials} who
 * @param {boolean} [wait] for a seat, when the room is full
 */
async function join(who, wait = false) {
  end();
  const { code, name, token } = who;
  history.replaceState(null, "", link(code));
  const path = document.querySelector("meta[name=roomd-path]")?.getAttribute("content") ?? "/ws";
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
  const meeting = new Meeting(url, { code, wait, ...(token ? { token } : { guestName: name }) });
  if (token) rememberToken(code, token);
  stay = {
    who,
    wait,
    meeting,
    names: new Names(),
    mesh: new Mesh(meeting),
    streams: new Map(),
    hand: false,
    announcements: new Announcements(() => openPanel("people")),
  };
  listen(stay);
  entrance.setBusy(true);
  try {
    await meeting.join();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error; // a refusal is told by `over`
  } finally {
    entrance.setBusy(false);
  }
}

/** @param {Stay} mine */
function listen(mine) {
  const { meeting, mesh, streams, announcements } = mine;
  /** @type {<K extends keyof MeetingEvents>(type: K, listener: (detail: MeetingEvents[K]) => void) => void} */
  const on = (type, listener) => {
    meeting.addEventListener(type, ({ detail }) => {
      if (stay === mine) listener(detail);
    });
  };
  on("status", ({ status, retryIn }) => {
    if (status === "joined") enter();
    else if (status === "waiting" && meeting.place) showWaiting(meeting.place);
    else if (status === "reconnecting") showReconnecting(retryIn ?? 0);
  });
  on("place", ({ place }) => showWaiting(place));
  on("change", () => meeting.status !== "over" && draw());
  on("joined", ({ participant }) => announcements.participant("joined", participant));
  on("left", ({ participant }) => announcements.participant("left", participant));
  on("lobby", ({ waiting }) => announcements.lobby(waiting));
  on("mute-requested", () => {
    if (media.muted) return;
    media.mute();
    toast("The host asked you to be quiet: your microphone is off.");
  });
  on("message", ({ message }) => {
    if (message.participantId !== meeting.me?.id) announcements.message(message);
  });
  on("messages-missed", () => toast("So much was said while you were away that some of it is not shown."));
  on("over", ({ code, message, reason }) => {
    end();
    if (FORGETTING.includes(code)) rememberToken(mine.who.code, null);
    showEnding(mine, code === "left" && !meeting.me ? "stopped" : code, message, reason);
  });
  mesh.addEventListener("stream", (event) => {
    const { id, stream } = /** @type {CustomEvent} */ (event).detail;
    if (stream) streams.set(id, stream);
    else streams.delete(id);
    draw();
  });
}

/** Forget the stay there was. */
function end() {
  clearInterval(countdown);
  closeDialogs();
  stay?.mesh.close();
  stay?.announcements.close();
  stay = null;
}

/** Show the meeting, for the first time or again. */
function enter() {
  clearInterval(countdown);
  $("banner").hidden = true;
  $("banner-said").textContent = "";
  if ($("meeting").hidden) {
    chat.reset();
    openPanel(null);
    show("meeting");
    $("mic").focus();
  }
  shareMedia();
}

/** Give the own tracks to the mesh, and tell the others which there are. */
function shareMedia() {
  if (!stay) return;
  const { meeting, mesh, hand } = stay;
  mesh.setTrack("audio", media.audio);
  mesh.setTrack("video", media.video);
  const state = { muted: media.muted, camera: media.cameraOn, screen: media.sharing, handRaised: hand };
  const told = meeting.me?.state ?? {};
  if (Object.entries(state).every(([key, value]) => told[key] === value)) return;
  void meeting.updateState(state).catch(() => undefined); // over
}

/**
 * Send a request, and show a refusal.
 * @param {(meeting: Meeting) => Promise<unknown>} action
 * @returns {Promise<boolean>} whether it was done
 */
async function attempt(action) {
  try {
    if (stay) await action(stay.meeting);
    return stay !== null;
  } catch (error) {
    toast(refusal(error));
    return false;
  }
}

async function leave() {
  const how = stay?.meeting.me?.isHost ? await askLeave() : "leave";
  if (how === "end") await attempt((meeting) => meeting.endRoom());
  else if (how === "leave") void stay?.meeting.leave();
}

// The notice

/** @param {Place} place */
function showWaiting(place) {
  clearInterval(countdown);
  const { title, text } = waiting(place);
  showNotice({
    icon: "clock",
    title,
    text: `${queue(place.position)}. ${text}`,
    position: place.position,
    buttons: [["Stop waiting", () => void stay?.meeting.leave()]],
  });
}

/**
 * @param {Stay} mine
 * @param {string} code
 * @param {string} message the client's words
 * @param {string | null} reason the host's words
 */
function showEnding({ who, wait }, code, message, reason) {
  const words = ending(code, message, reason, wait);
  const [field, complaint] = FIELDS[/** @type {keyof typeof FIELDS} */ (code)] ?? [];
  if (field && !$("entrance").hidden) return entrance.complain(field, complaint ?? "");
  media.close();
  /** @type {Record<Offer, [string, () => void]>} */
  const offers = {
    again: [code === "left" ? "Join again" : "Try again", () => void rejoin(who, wait)],
    wait: ["Wait for a seat", () => void rejoin(who, true)],
    back: ["Back", showEntrance],
    home: ["Back to the start", showEntrance],
  };
  showNotice({ ...words, buttons: words.actions.map((action) => offers[action]) });
}

/**
 * @param {Credentials} who
 * @param {boolean} [wait]
 */
function rejoin(who, wait) {
  showNotice({ icon: "clock", title: "Joining…", text: "", buttons: [] });
  void media.open();
  return join(who, wait);
}

/** @param {Notice} notice */
function showNotice(notice) {
  document.title = `${notice.title} – roomd`;
  if (!fillNotice(notice)) return;
  show("notice");
  $("notice-title").focus();
}

/** @param {number} seconds until the next attempt */
function showReconnecting(seconds) {
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

// The meeting

/** Draw the meeting once for all changes of this moment. */
function draw() {
  if (drawing) return;
  drawing = true;
  queueMicrotask(() => {
    drawing = false;
    if (stay && !$("meeting").hidden) view.draw(stay);
  });
}

/** @param {"people" | "chat" | null} open */
function openPanel(open) {
  for (const name of PANELS) {
    const closes = !$(name).hidden && name !== open;
    $(name).hidden = name !== open;
    $(`open-${name}`).setAttribute("aria-expanded", String(name === open));
    coverRest();
    if (closes && open === null) $(`open-${name}`).focus();
  }
  if (stay) view.draw(stay);
  if (open === "chat") chat.focus();
  stay?.announcements.opened(open);
  if (open === "people") $("people").querySelector("button")?.focus();
}

/** On a phone an open panel covers everything: what is under it must not be reached. */
function coverRest() {
  const covered = narrow.matches && PANELS.some((name) => !$(name).hidden);
  for (const part of document.querySelectorAll(".bar, .stage, .toolbar")) part.toggleAttribute("inert", covered);
}

// All views

/** @param {typeof VIEWS[number]} shown */
function show(shown) {
  for (const name of VIEWS) $(name).hidden = name !== shown;
  clearToasts();
}

function showEntrance() {
  document.title = "roomd";
  show("entrance");
  entrance.enter();
}

/**
 * @param {string} id
 * @param {() => unknown} action may return a promise; a DOMException is trouble with a device
 */
function onClick(id, action) {
  $(id).addEventListener("click", async () => {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      if (id === "screen" && error.name === "NotAllowedError") return; // the person has cancelled
      if ($("entrance").hidden) toast(mediaTrouble(error));
      else entrance.say(mediaTrouble(error));
    }
  });
}

for (const id of ["mic", "preview-mic"]) onClick(id, () => media.toggleMicrophone());
for (const id of ["camera", "preview-camera"]) onClick(id, () => media.toggleCamera());
onClick("screen", () => media.toggleScreen());
onClick("hand", () => {
  if (stay) stay.hand = !stay.hand;
  shareMedia();
  draw();
});
for (const name of PANELS) onClick(`open-${name}`, () => openPanel($(name).hidden ? name : null));
for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => openPanel(null));
onClick("leave", leave);
onClick("copy-link", async () => {
  const address = link(stay?.meeting.room?.code ?? "");
  const copied = await navigator.clipboard?.writeText(address).then(() => true, () => false);
  toast(copied ? "Link copied." : address);
});

media.addEventListener("change", () => {
  entrance.showPreview();
  shareMedia();
  draw();
});
addEventListener("hashchange", () => {
  if (!$("entrance").hidden) entrance.readLink();
});
addEventListener("pagehide", () => {
  // A guest cannot take the seat back after a reload; a user can.
  if (stay && !stay.who.token) void stay.meeting.leave();
});
addEventListener("keydown", (event) => {
  const open = PANELS.some((name) => !$(name).hidden);
  if (event.key === "Escape" && open && !document.querySelector("dialog[open]")) openPanel(null);
});
narrow.addEventListener("change", coverRest);

$("screen").hidden = !Media.canShare;
showEntrance();
