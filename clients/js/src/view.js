/**
 * View: what a client knows of a room. Frames go in, the events that follow from them come out.
 *
 * - `room-state` replaces everything, also one that nobody asked for. When the room was known before, the differences are
 *   returned as events, in the order of one `participants-changed`: joined, updated, left. `replaced` follows when it is
 *   not the first one on its connection: signals may be lost.
 * - Every event with a `seq` must be the next one. If one is missing, the view is stale: it ignores all that follow, and
 *   the client asks for a new `room-state` by joining its room again on the same connection.
 * - Messages have no `seq`. After such a `room-state`, `missed` says what to ask for. The missed messages, and those that
 *   arrive meanwhile, are told together, in order, when the last page was read (see catchup.js).
 *
 * The Python client has the same rules; docs/reference/clients.md describes them and `clients/vectors` tests both.
 */

import { CATCH_UP, CatchUp, MOST_MESSAGES } from "./catchup.js";
import { hasId, isChange, isState, same } from "./frames.js";
import { overByRefusal } from "./reconnect.js";

/** @import { Message, Participant, Room, Waiting } from "./protocol.js" */
/** @import { Frame, News, Over, Place } from "./types.js" */

/** What a client knows of a room. Pure: frames in, events out. Its collections are replaced, never changed in place. */
export class View {
  /**
   * Before the first seat or place it is "connecting".
   *
   * @type {"connecting" | "waiting" | "joined" | "reconnecting" | "over"}
   */
  status = "connecting";
  /** Names the run of the room in which `seq` counts. */
  epoch = "";
  /** The number of the last event that was applied. */
  seq = 0;
  /** @type {Room | null} */
  room = null;
  /** Everyone who holds a seat, by id, in the order they took it. @type {Map<string, Participant>} */
  participants = new Map();
  /** The last 500, public and private, oldest first. @type {Message[]} */
  messages = [];
  /** Messages are missing: ask for a page after its `delay`, again and again, until this is null. @type {CatchUp | null} */
  missed = null;
  /** Who waits, in order; for hosts. @type {Waiting[]} */
  lobby = [];
  /** Where this client itself waits. @type {Place | null} */
  place = null;
  /** Why the meeting is over. @type {Over | null} */
  over = null;
  /** Takes the seat, or the place in the queue, back after a drop. @type {string | null} */
  resumeToken = null;
  /** An event is missing: the view is wrong until the next `room-state`. */
  isStale = false;

  /** This client's own participant, as it was when it took its seat. @type {Participant | null} */
  #seat = null;
  /** This client's own id when the room was last entered. @type {string | null} */
  #knownAs = null;
  /** Ids of the requests for a seat that wait: their answers carry them. @type {Set<unknown>} */
  #waitingIds = new Set();
  /** Read as messages of before. One that is not was sent after the `room-state`, and its event follows. @type {Set<string>} */
  #untold = new Set();
  /** A `room-state` came on this connection. */
  #isCurrent = false;
  /** The lobby was told since the last `room-state`, which comes alone when nobody waits. */
  #heardOfLobby = false;

  /** This client's own participant. @returns {Participant | null} */
  get me() {
    return this.#seat && (this.participants.get(this.#seat.id) ?? this.#seat);
  }

  /**
   * Apply a frame. One of an unknown type, or an event that was applied before, changes nothing; nor does any frame once
   * the meeting is over.
   *
   * @param {Frame} frame
   * @returns {News[]}
   */
  apply(frame) {
    if (this.over !== null) return [];
    switch (frame.type) {
      case "participant":
        return hasId(frame.participant) ? this.#takeSeat(frame) : [];
      case "waiting":
        return this.#takePlace(frame);
      case "error":
        return this.#takeError(frame);
      case "messages":
        return frame.id === CATCH_UP ? this.#takePage(frame) : [];
      case "room-state":
        return isState(frame) ? this.#takeState(frame) : [];
      case "participants-changed":
        return this.#isNext(frame.seq, isChange(frame)) ? this.#takeChanges(frame) : [];
      case "room-updated":
        return this.#isNext(frame.seq, hasId(frame.room)) ? this.#takeSettings(frame.room) : [];
      case "room-ended":
        return this.#takeEnd(frame.reason);
      case "message":
        return hasId(frame.message) ? this.#takeMessage(frame.message) : [];
      case "waiting-changed":
        return Array.isArray(frame.waiting) ? this.#takeLobby(frame.waiting) : [];
      case "removed":
        return this.#takeRemoval(frame.reason);
      case "signal":
        return [{ type: "signal", detail: { from: frame.from, data: frame.data } }];
      case "mute-requested":
        return [{ type: "mute-requested", detail: {} }];
      default:
        return [];
    }
  }

  /** Note that the connection is lost: the frames that follow come by another one. */
  drop() {
    if (this.over !== null) return;
    this.status = "reconnecting";
    this.#isCurrent = this.isStale = false;
    this.#untold.clear();
  }

  /** Note that the held seat, or the place in the queue, has expired. */
  forgetSeat() {
    this.resumeToken = null;
  }

  /**
   * End the meeting. The first reason counts.
   *
   * @param {Over} over
   */
  finish(over) {
    if (this.over !== null) return;
    this.over = over;
    this.status = "over";
  }

  /**
   * Take a seat, whose room follows in `room-state`; or learn that it was given up.
   *
   * @param {Frame} frame A `participant`.
   * @returns {News[]}
   */
  #takeSeat({ participant, resumeToken }) {
    if (participant.leftAt != null) {
      this.finish({ code: "left", message: "You left the room", reason: null });
    } else {
      this.#seat = participant;
      this.resumeToken = resumeToken ?? null;
      this.#waitingIds.clear();
    }
    return [];
  }

  /**
   * Wait, or go on waiting at another place. Whoever waits sees nothing of the room.
   *
   * @param {Frame} frame A `waiting`.
   * @returns {News[]}
   */
  #takePlace({ id, participantId, position, reason, resumeToken }) {
    if (id == null && this.status !== "waiting") return [];
    if (id != null) {
      this.#waitingIds.add(id);
      this.resumeToken = resumeToken ?? null;
    }
    const place = { participantId, position, reason };
    const isKnown = this.status === "waiting" && same(place, this.place);
    this.status = "waiting";
    this.room = this.missed = this.#seat = this.#knownAs = null;
    this.participants = new Map();
    this.messages = [];
    this.lobby = [];
    if (isKnown) return [];
    this.place = place;
    return [{ type: "place", detail: { place } }];
  }

  /**
   * End when the request for a seat that waits is refused. Other errors are for the request that they answer.
   *
   * @param {Frame} frame An `error`.
   * @returns {News[]}
   */
  #takeError(frame) {
    if (frame.id === CATCH_UP) return this.#takePage(frame);
    if (frame.id != null && this.#waitingIds.has(frame.id))
      this.finish(overByRefusal({ code: frame.code, message: frame.message }));
    return [];
  }

  /**
   * Replace the view.
   *
   * @param {Frame} frame A `room-state`.
   * @returns {News[]}
   */
  #takeState({ epoch, seq, room, participants, messages = [] }) {
    const before = { room: this.room, participants: this.participants };
    const own = [this.#knownAs, this.#seat?.id];
    const isReplaced = this.#isCurrent;
    this.epoch = epoch;
    this.seq = seq;
    this.#isCurrent = true;
    this.isStale = this.#heardOfLobby = false;
    this.status = "joined";
    this.place = null;
    this.#knownAs = this.#seat?.id ?? null;
    this.participants = new Map(participants.map((/** @type {Participant} */ one) => [one.id, one]));
    const after = { ...room, participantCount: this.participants.size };
    this.room = after;
    if (before.room === null) {
      this.messages = messages;
      // A user may have got private messages here before.
      if (this.#seat?.userId != null) this.missed = new CatchUp(messages[0]?.id ?? null, messages, false);
      return [];
    }
    const now = [...this.participants.values()];
    const news = newsOf(
      now.filter(({ id }) => !before.participants.has(id) && !own.includes(id)),
      now.filter((one) => before.participants.has(one.id) && !same(before.participants.get(one.id), one)),
      [...before.participants.values()].filter(({ id }) => !this.participants.has(id) && !own.includes(id)),
    );
    news.push(...roomNews(before.room, after));
    if (isReplaced) news.push({ type: "replaced", detail: {} });
    // There may be more messages than those that are shown: they are read first.
    const missed = new CatchUp(this.messages.at(-1)?.id ?? null, this.#unknown(messages));
    missed.isAsked = missed.isLate = isReplaced && this.missed !== null && this.missed.isAsked;
    this.missed = missed;
    return news;
  }

  /**
   * @param {Frame} frame A `participants-changed`.
   * @returns {News[]}
   */
  #takeChanges({ joined, updated, left }) {
    const participants = new Map(this.participants);
    for (const one of [...joined, ...updated]) participants.set(one.id, one);
    for (const { id } of left) participants.delete(id);
    this.participants = participants;
    if (this.room) this.room = { ...this.room, participantCount: participants.size };
    return newsOf(joined, updated, left);
  }

  /**
   * @param {Room} room
   * @returns {News[]}
   */
  #takeSettings(room) {
    const before = this.room;
    this.room = { ...room, participantCount: this.participants.size };
    return before ? roomNews(before, this.room) : [];
  }

  /** End, also when events are missing: there is no room to ask. @param {string | null | undefined} reason */
  #takeEnd(reason) {
    const news = this.#stopReading();
    this.participants = new Map();
    if (this.room) this.room = { ...this.room, isActive: false, participantCount: 0 };
    this.finish({ code: "room_ended", message: "The room has ended", reason: reason || null });
    return news;
  }

  /** @param {string | null | undefined} reason The host's words. */
  #takeRemoval(reason) {
    const news = this.#stopReading();
    this.finish({ code: "removed", message: "You were removed from this room", reason: reason || null });
    return news;
  }

  /**
   * Keep a message, or hold it back. `room-state` may have shown it already.
   *
   * @param {Message} message
   */
  #takeMessage(message) {
    if (this.missed !== null) this.missed.holdBack(message);
    else if (this.#untold.delete(message.id)) return newsOfMessages([message]);
    else return this.#tell(this.#unknown([message]));
    return [];
  }

  /**
   * Take a page of missed messages, or the refusal to give one.
   *
   * The server tells a host who waits right after the `room-state`, and says nothing when nobody waits. This reply comes
   * later than that.
   *
   * @param {Frame} reply
   * @returns {News[]}
   */
  #takePage(reply) {
    const news = this.#heardOfLobby ? [] : this.#takeLobby([]);
    if (this.missed?.read(reply)) news.push(...this.#finishReading(this.missed));
    return news;
  }

  /** Tell what is known of the missed messages when no more can be read. */
  #stopReading() {
    this.missed?.giveUp();
    return this.missed ? this.#finishReading(this.missed) : [];
  }

  /**
   * Put the missed messages, and those held back, into the view and tell them.
   *
   * @param {CatchUp} missed
   * @returns {News[]}
   */
  #finishReading(missed) {
    this.missed = null;
    const { after, isNews } = missed;
    const messages = missed.messages();
    const { hasGap } = missed;
    if (!isNews) for (const { id } of this.#unknown(messages)) this.#untold.add(id);
    const told = isNews ? (hasGap ? messages : this.#unknown(messages)) : this.#unknown(missed.heldBack);
    for (const { id } of told) this.#untold.delete(id);
    const kept = hasGap ? [] : this.messages.slice(0, this.messages.findIndex(({ id }) => id === after) + 1);
    const known = new Set(kept.map(({ id }) => id));
    this.messages = [...kept, ...messages.filter(({ id }) => !known.has(id))].slice(-MOST_MESSAGES);
    const news = newsOfMessages(told);
    if (hasGap && isNews)
      return [{ type: "messages-missed", detail: { after, before: messages[0]?.id ?? null } }, ...news];
    // Messages from before this client came are no news, but the view has changed.
    return isNews || news.length || !messages.length ? news : [{ type: "change", detail: {} }];
  }

  /**
   * @param {Waiting[]} waiting
   * @returns {News[]}
   */
  #takeLobby(waiting) {
    this.#heardOfLobby = true;
    if (same(waiting, this.lobby)) return [];
    this.lobby = waiting;
    return [{ type: "lobby", detail: { waiting } }];
  }

  /**
   * Tell whether an event is the next one, and count it. A malformed one is treated as missing.
   *
   * @param {number} seq
   * @param {boolean} isValid
   */
  #isNext(seq, isValid) {
    if (!this.#isCurrent || this.isStale || seq <= this.seq) return false;
    this.isStale = !isValid || seq !== this.seq + 1;
    if (!this.isStale) this.seq = seq;
    return !this.isStale;
  }

  /** @param {Message[]} messages */
  #unknown(messages) {
    const known = new Set(this.messages.map(({ id }) => id));
    return messages.filter(({ id }) => !known.has(id));
  }

  /** @param {Message[]} messages */
  #tell(messages) {
    if (messages.length) this.messages = [...this.messages, ...messages].slice(-MOST_MESSAGES);
    return newsOfMessages(messages);
  }
}

/**
 * @param {Message[]} messages
 * @returns {News[]}
 */
function newsOfMessages(messages) {
  return messages.map((message) => ({ type: "message", detail: { message } }));
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

/**
 * Tell whether the settings changed; the number of seats taken is none.
 *
 * @param {Room} before
 * @param {Room} room
 * @returns {News[]}
 */
function roomNews(before, room) {
  const isSame = same({ ...before, participantCount: 0 }, { ...room, participantCount: 0 });
  return isSame ? [] : [{ type: "room", detail: { room } }];
}
