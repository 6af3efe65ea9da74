/**
 * The page: from the form at the entrance through waiting and meeting to the end, and back to the form.
 *
 * One `Stay` is one attempt to be in a room: a `Meeting` and the `Mesh` on it. One of three views shows what happens to
 * it: the entrance, the notice (waiting, refused, over) or the meeting, which is drawn again whenever the `Meeting`
 * changes.
 */

import { Announcements } from "./announcements.js";
import { showConnected, showReconnecting, stopCountdown } from "./banner.js";
import { onClick, wireDevices } from "./buttons.js";
import { Chat } from "./chat.js";
import { Refusal } from "./client/roomd.js";
import { askLeave, askRemove, closeDialogs } from "./dialogs.js";
import { bdi, find } from "./dom.js";
import { Entrance, link, rememberToken } from "./entrance.js";
import { Media } from "./media.js";
import { MeetingView } from "./meeting.js";
import { Mesh } from "./mesh.js";
import { Names } from "./names.js";
import { fillNotice } from "./notice.js";
import { exchange, mayUnlock, unlock } from "./outside.js";
import { isHost, People } from "./people.js";
import { meetingOf, socketUrl } from "./seat.js";
import { Tiles } from "./tiles.js";
import { clearToasts, toast } from "./toasts.js";
import { choose, wish } from "./wish.js";
import { FIELDS, ending, queue, refusal, waiting } from "./words.js";

/** @import { Meeting, MeetingEvents, Participant, Place } from "./client/roomd.js" */
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
const entrance = new Entrance(media, (who) => void join(who), (ticket) => exchange(socketUrl(), ticket));
const tiles = new Tiles($("tiles"), () => {
  toast("The browser holds the sound back.", { button: "Turn sound on", action: () => tiles.play() });
});
const people = new People({
  updateRoom: (change) => attempt((meeting) => meeting.updateRoom(change)),
  admit: (id) => void attempt((meeting) => meeting.admit(id)),
  deny: (id) => void attempt((meeting) => meeting.deny(id)),
  admitAll: () => void attempt((meeting) => meeting.admitAll()),
  mute: async (person) => {
    if (await attempt((meeting) => meeting.mute(person.id))) toast([bdi(nameOf(person)), " was asked to mute."]);
  },
  remove: async (person) => {
    const how = await askRemove(person, nameOf(person));
    if (how) await attempt((meeting) => meeting.remove(person.id, how));
  },
});
const chat = new Chat(async (text, to, clientId) => {
  if (!stay) throw new Refusal(0, "disconnected", "There is no connection to the room");
  await stay.meeting.say(text, to, { clientId });
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
 * @property {Announcements} announcements
 */

/** @type {Stay | null} */
let stay = null;
const nameOf = (/** @type {Participant} */ person) => stay?.names.of(person) ?? person.displayName;
let drawing = false;
/** The end that is on the screen. @type {Notice | null} */
let shown = null;

// A stay

/**
 * @param {Credentials} who
 * @param {boolean} [wait] for a seat, when the room is full
 */
function join(who, wait = false) {
  return begin(who, wait, (meeting) => meeting.join());
}

/**
 * @param {Credentials} who
 * @param {boolean} wait
 * @param {(meeting: Meeting) => Promise<void>} ask
 */
async function begin(who, wait, ask) {
  end();
  const { code, token } = who;
  history.replaceState(null, "", link(code));
  const meeting = meetingOf(who, wait);
  if (token) rememberToken(code, token);
  stay = {
    who,
    wait,
    meeting,
    names: new Names(),
    mesh: new Mesh(meeting, meeting.canResume),
    streams: new Map(),
    announcements: new Announcements(() => openPanel("people")),
  };
  listen(stay);
  entrance.setBusy(true);
  try {
    await ask(meeting);
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
    if (FORGETTING.includes(code)) {
      rememberToken(mine.who.code, null);
      choose("hand", false);
    }
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
  stopCountdown();
  closeDialogs();
  stay?.mesh.close();
  stay?.announcements.close();
  stay = null;
}

/** Show the meeting, for the first time or again. */
function enter() {
  showConnected();
  if ($("meeting").hidden) {
    chat.reset();
    openPanel(null);
    show("meeting");
    $("mic").focus();
  }
  shareMedia();
  if (wish.hand !== Boolean(stay?.meeting.me?.state.handRaised)) shareHand();
}

/** Give the own tracks to the mesh, and tell the others which there are. */
function shareMedia() {
  if (!stay) return;
  const { meeting, mesh } = stay;
  mesh.setTrack("audio", media.audio);
  mesh.setTrack("video", media.video);
  const state = { muted: media.muted, camera: media.cameraOn, screen: media.sharing };
  const told = meeting.me?.state ?? {};
  if (Object.entries(state).every(([key, value]) => told[key] === value)) return;
  void meeting.updateState(state).catch(() => undefined); // over
}

/** Tell the others whether the own hand is raised. */
function shareHand() {
  const told = wish.hand ? stay?.meeting.raiseHand() : stay?.meeting.lowerHand();
  void told?.catch(() => undefined); // over
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
  const how = isHost(stay?.meeting.me) ? await askLeave() : "leave";
  if (how === "end") await attempt((meeting) => meeting.endRoom());
  else if (how === "leave") void stay?.meeting.leave();
}

// The notice

/** @param {Place} place */
function showWaiting(place) {
  stopCountdown();
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
 * @param {string | null} reason the host's words, or why the room ended by itself
 */
function showEnding({ who, wait }, code, message, reason) {
  const words = ending(code, message, reason, wait);
  const [field, complaint] = FIELDS[/** @type {keyof typeof FIELDS} */ (code)] ?? [];
  if (field && !$("entrance").hidden) return entrance.complain(field, complaint ?? "");
  media.close();
  /** @type {Record<Offer, [string, () => void]>} */
  const offers = {
    again: [["left", "seat_expired"].includes(code) ? "Join again" : "Try again", () => void rejoin(who, wait)],
    here: ["Use it here", () => void rejoin(who, wait)],
    unlock: ["Unlock and join", () => void unlockAndJoin(who, wait)],
    wait: ["Wait for a seat", () => void rejoin(who, true)],
    back: ["Back", showEntrance],
    home: ["Back to the start", showEntrance],
  };
  const notice = (shown = { ...words, buttons: words.actions.map((action) => offers[action]) });
  showNotice(notice);
  if (code !== "room_locked" || !who.token) return;
  void mayUnlock(socketUrl(who.code), who.code, who.token).then((may) => {
    if (may && shown === notice) showNotice({ ...notice, buttons: [offers.unlock, ...notice.buttons] });
  });
}

/**
 * @param {Credentials} who
 * @param {boolean} wait
 */
async function unlockAndJoin(who, wait) {
  try {
    await unlock(socketUrl(who.code), who.code, who.token);
    await rejoin(who, wait);
  } catch (error) {
    toast(refusal(error));
  }
}

/**
 * @param {Credentials} who
 * @param {boolean} [wait]
 */
function rejoin(who, wait) {
  showJoining();
  return join(who, wait);
}

function showJoining() {
  showNotice({ icon: "clock", title: "Joining…", text: "", buttons: [] });
  void media.open();
}

/** @param {Notice} notice */
function showNotice(notice) {
  if (notice.title !== shown?.title) shown = null;
  document.title = `${notice.title} – roomd`;
  if (!fillNotice(notice)) return;
  show("notice");
  $("notice-title").focus();
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
  shown = null;
  document.title = "roomd";
  show("entrance");
  entrance.enter();
}

/** A page that is loaded again goes on where it was; else the form is shown. */
function start() {
  entrance.readLink();
  const who = entrance.credentials;
  if (!who.code || !meetingOf(who, false).canResume) return showEntrance();
  showJoining();
  void begin(who, false, (meeting) => meeting.resume());
}

wireDevices(media);
onClick("hand", () => {
  choose("hand", !wish.hand);
  shareHand();
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
addEventListener("keydown", (event) => {
  const open = PANELS.some((name) => !$(name).hidden);
  if (event.key === "Escape" && open && !document.querySelector("dialog[open]")) openPanel(null);
});
narrow.addEventListener("change", coverRest);

$("screen").hidden = !Media.canShare;
start();
