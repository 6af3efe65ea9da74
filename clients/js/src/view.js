/** View: what a client knows of a room. Frames go in, the news that follow from them come out. */

import { hasId, isChange, isState, same } from "./frames.js";

/** @import { Message, Participant, Room, Waiting } from "./protocol.js" */
/** @import { Frame, News, Place } from "./types.js" */

const MESSAGES = 500; // kept

/** What a client knows of a room. Pure: frames in, news out. Its collections are replaced, never changed in place. */
export class View {
  /** Names the run of the room in which `seq` counts. */
  epoch = "";
  /** The number of the last event that was applied. */
  seq = 0;
  /** @type {Room | null} */
  room = null;
  /** In the order of the room, this client's own included. @type {Map<string, Participant>} */
  participants = new Map();
  /** Public and private, oldest first. @type {Message[]} */
  messages = [];
  /** Who waits; for hosts. @type {Waiting[]} */
  lobby = [];
  /** Where this client itself waits. @type {Place | null} */
  place = null;
  /** An event is missing: the view is wrong until the next `room-state`. */
  isStale = false;

  /** This client's own participant, as it was when it took its seat. @type {Participant | null} */
  #seat = null;
  /** Ids this client has had; changes of these participants are no news. @type {Set<string>} */
  #own = new Set();

  /** This client's own participant. @returns {Participant | null} */
  get me() {
    return this.#seat && (this.participants.get(this.#seat.id) ?? this.#seat);
  }

  /**
   * Take a seat. The `room-state` follows.
   *
   * @param {Participant} participant
   */
  sit(participant) {
    this.#seat = participant;
    this.#own.add(participant.id);
    this.place = null;
  }

  /**
   * Wait in the queue. Whoever waits sees nothing of the room.
   *
   * @param {Frame} frame A `waiting`.
   * @returns {News[]}
   */
  wait({ participantId, position, reason }) {
    if (this.#seat !== null) {
      this.#seat = null;
      this.room = null;
      this.participants = new Map();
      this.lobby = [];
    }
    const place = { participantId, position, reason };
    if (same(place, this.place)) return [];
    this.place = place;
    return [{ type: "place", detail: { place } }];
  }

  /**
   * Apply a frame. One of an unknown type, or an event that was applied before, changes nothing.
   *
   * @param {Frame} frame
   * @returns {News[]}
   */
  apply(frame) {
    switch (frame.type) {
      case "room-state":
        return isState(frame) ? this.#replaceAll(frame) : [];
      case "participants-changed":
        return this.#isNext(frame.seq, isChange(frame)) ? this.#change(frame) : [];
      case "room-updated":
        return this.#isNext(frame.seq, hasId(frame.room)) ? this.#replaceRoom(frame.room) : [];
      case "message":
        return hasId(frame.message) ? this.#addMessages([frame.message]) : [];
      case "waiting":
        return this.wait(frame);
      case "waiting-changed":
        return Array.isArray(frame.waiting) ? this.setLobby(frame.waiting) : [];
      case "signal":
        return [{ type: "signal", detail: { from: frame.from, data: frame.data } }];
      case "mute-requested":
        return [{ type: "mute-requested", detail: {} }];
      default:
        return [];
    }
  }

  /**
   * Replace the list of those who wait.
   *
   * @param {Waiting[]} waiting
   * @returns {News[]}
   */
  setLobby(waiting) {
    if (same(waiting, this.lobby)) return [];
    this.lobby = waiting;
    return [{ type: "lobby", detail: { waiting } }];
  }

  /**
   * Insert the messages that were sent while there was no connection.
   *
   * @param {string | null} after The id of the last message before that; null when there was none.
   * @param {Message[]} said All there is after it, oldest first.
   * @returns {News[]}
   */
  catchUp(after, said) {
    const known = new Set(this.messages.map((message) => message.id));
    const listed = new Set(said.map((message) => message.id));
    const cut = this.messages.findIndex((message) => message.id === after) + 1;
    const since = this.messages.slice(cut).filter((message) => !listed.has(message.id));
    this.messages = [...this.messages.slice(0, cut), ...said, ...since].slice(-MESSAGES);
    return said.filter((message) => !known.has(message.id)).map((message) => ({ type: "message", detail: { message } }));
  }

  /**
   * Skip the messages that were sent while there was no connection: keep those that follow without a gap.
   *
   * @param {string | null} after As for `catchUp`.
   * @returns {News[]}
   */
  skip(after) {
    this.messages = this.messages.slice(this.messages.findIndex((message) => message.id === after) + 1);
    return [{ type: "messages-missed", detail: { after, before: this.messages[0]?.id ?? null } }];
  }

  /**
   * Tell whether an event is the next one, and count it. A malformed one is treated as missing.
   *
   * @param {number} seq
   * @param {boolean} isValid
   */
  #isNext(seq, isValid) {
    if (this.room === null || this.isStale || seq <= this.seq) return false;
    this.isStale = !isValid || seq !== this.seq + 1;
    if (!this.isStale) this.seq = seq;
    return !this.isStale;
  }

  /**
   * @param {Frame} frame A `room-state`.
   * @returns {News[]}
   */
  #replaceAll(frame) {
    const { room, participants } = this;
    this.epoch = frame.epoch;
    this.seq = frame.seq;
    this.isStale = false;
    this.room = frame.room;
    this.participants = new Map(frame.participants.map((/** @type {Participant} */ p) => [p.id, p]));
    if (room === null) {
      this.#addMessages(frame.messages ?? []);
      return [];
    }
    const now = [...this.participants.values()];
    const news = newsOf(
      now.filter(({ id }) => !participants.has(id)),
      now.filter((one) => participants.has(one.id) && !same(participants.get(one.id), one)),
      [...participants.values()].filter(({ id }) => !this.participants.has(id)),
    );
    if (!same({ ...room, participantCount: 0 }, { ...frame.room, participantCount: 0 }))
      news.push({ type: "room", detail: { room: frame.room } });
    return [...this.#withoutOwn(news), ...this.#addMessages(frame.messages ?? [])];
  }

  /**
   * @param {Frame} frame A `participants-changed`.
   * @returns {News[]}
   */
  #change(frame) {
    const participants = new Map(this.participants);
    for (const { id } of frame.left) participants.delete(id);
    for (const participant of [...frame.updated, ...frame.joined]) participants.set(participant.id, participant);
    this.participants = participants;
    if (this.room) this.room = { ...this.room, participantCount: participants.size };
    return this.#withoutOwn(newsOf(frame.joined, frame.updated, frame.left));
  }

  /**
   * @param {Room} room
   * @returns {News[]}
   */
  #replaceRoom(room) {
    this.room = room;
    return [{ type: "room", detail: { room } }];
  }

  /**
   * @param {Message[]} messages
   * @returns {News[]}
   */
  #addMessages(messages) {
    const known = new Set(this.messages.map((message) => message.id));
    const fresh = messages.filter((message) => !known.has(message.id));
    if (fresh.length) this.messages = [...this.messages, ...fresh].slice(-MESSAGES);
    return fresh.map((message) => ({ type: "message", detail: { message } }));
  }

  /**
   * Replace the news of this client's own participant by a plain `change`.
   *
   * @param {News[]} news
   * @returns {News[]}
   */
  #withoutOwn(news) {
    return news.map((one) =>
      "participant" in one.detail && this.#own.has(one.detail.participant.id) ? { type: "change", detail: {} } : one,
    );
  }
}

/**
 * List who joined, who changed and who left, in this order.
 *
 * @param {Participant[]} joined
 * @param {Participant[]} updated
 * @param {Participant[]} left
 * @returns {News[]}
 */
function newsOf(joined, updated, left) {
  return [
    ...joined.map((participant) => /** @type {const} */ ({ type: "joined", detail: { participant } })),
    ...updated.map((participant) => /** @type {const} */ ({ type: "updated", detail: { participant } })),
    ...left.map((participant) => /** @type {const} */ ({ type: "left", detail: { participant } })),
  ];
}
