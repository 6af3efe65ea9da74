/** The view of the meeting: the bar, the tiles, the panels and the numbers on their buttons. */

import { bdi, find } from "./dom.js";
import { isHost } from "./people.js";
import { wish } from "./wish.js";

/** @import { Meeting, Participant } from "./client/roomd.js" */
/** @import { Media } from "./media.js" */
/** @import { Mesh } from "./mesh.js" */
/** @import { Chat } from "./chat.js" */
/** @import { Tiles } from "./tiles.js" */
/** @import { Names } from "./names.js" */
/** @import { People } from "./people.js" */

/**
 * What is drawn: one stay, as it is now.
 *
 * @typedef {object} Shown
 * @property {Meeting} meeting
 * @property {Names} names
 * @property {Mesh} mesh
 * @property {Map<string, MediaStream>} streams what others send, by participant
 */

/** How many of those who are not connected by video are named. */
const MOST_NAMES = 5;

const $ = (/** @type {string} */ id) => find(id, HTMLElement);

export class MeetingView {
  /** @param {{media: Media, tiles: Tiles, people: People, chat: Chat}} parts */
  constructor({ media, tiles, people, chat }) {
    this._media = media;
    this._tiles = tiles;
    this._people = people;
    this._chat = chat;
  }

  /** @param {Shown} shown */
  draw({ meeting, names, mesh, streams }) {
    const { me, room } = meeting;
    if (!me || !room) return;
    names.update(meeting.participants);
    document.title = `${room.name || room.code} – roomd`;
    $("room-name").textContent = room.name || "Meeting";
    $("room-code").textContent = room.code;
    $("locked").hidden = !room.isLocked;
    $("waiting-room-on").hidden = !room.waitingRoom;
    const others = [...meeting.participants.values()].filter((person) => person.id !== me.id);
    const hands = meeting.hands.map(({ id }) => id);
    const handOf = (/** @type {Participant} */ { id }) => hands.indexOf(id) + 1;
    this._tiles.render([
      ...others.map((person) => tileOf(person, names.of(person), handOf(person), streams.get(person.id) ?? null)),
      this._ownTile(me, names.of(me), handOf(me)),
    ]);
    $("alone").hidden = others.length > 0;
    showWithout(others.filter(({ id, isActive }) => isActive && mesh.isWithout(id)).map((person) => names.of(person)));
    this._people.render(meeting, me, names);
    count("open-chat", this._chat.render(meeting, me, names, !$("chat").hidden), "unread");
    count("open-people", isHost(me) ? meeting.lobby.length : 0, "waiting");
    const { muted, cameraOn, sharing } = this._media;
    for (const [id, on] of Object.entries({ mic: !muted, camera: cameraOn, screen: sharing, hand: wish.hand })) {
      $(id).setAttribute("aria-pressed", String(on));
    }
  }

  /**
   * @param {Participant} me
   * @param {string} label
   * @param {number} hand
   */
  _ownTile({ id, guestName, displayName }, label, hand) {
    const { muted, sharing, shown } = this._media;
    return { id, isUser: guestName === null, name: displayName, label, mine: true, held: false, muted, hand, sharing, stream: shown };
  }
}

/**
 * @param {Participant} person
 * @param {string} label
 * @param {number} hand
 * @param {MediaStream | null} stream
 */
function tileOf({ id, guestName, displayName, isActive, state = {} }, label, hand, stream) {
  const sharing = state.screen === true;
  return {
    id,
    isUser: guestName === null,
    name: displayName,
    label,
    mine: false,
    held: !isActive,
    muted: state.muted === true,
    hand,
    sharing,
    stream,
    dark: !sharing && state.camera !== true,
  };
}

/**
 * Show who is not connected by video; what is there already stays, so that a selection does.
 * @param {string[]} called their names
 */
function showWithout(called) {
  const line = $("without-video");
  line.hidden = called.length === 0;
  const rest = called.length - MOST_NAMES;
  /** @type {(Node | string)[]} */
  const words = called.slice(0, MOST_NAMES).flatMap((name, at) => [at ? ", " : "Not connected by video: ", bdi(name)]);
  if (rest > 0) words.push(rest === 1 ? " and 1 more" : ` and ${rest} more`);
  if (words.map((word) => (typeof word === "string" ? word : word.textContent)).join("") !== line.textContent) line.replaceChildren(...words);
}

/**
 * Put a number on a button.
 * @param {string} id
 * @param {number} number
 * @param {string} what
 */
function count(id, number, what) {
  const badge = /** @type {HTMLElement} */ ($(id).querySelector(".count"));
  badge.hidden = number === 0;
  badge.textContent = number > 99 ? "99+" : String(number);
  $(id).setAttribute("aria-label", number ? `${$(id).title}, ${number} ${what}` : $(id).title);
}
