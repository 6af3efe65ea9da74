/** Meeting: what an application uses. Its state comes from the view, its events from the session. */

import { DetailEvent, Target } from "./platform.js";
import { NOW } from "./presence.js";
import { Session } from "./session.js";

/** @import { BansReply, IceServersReply, Message, MessagesReply, Participant, Room, RoomReply, Waiting } from "./protocol.js" */
/** @import { Frame, Options, Place } from "./types.js" */

/**
 * One person's stay in a room, over as many connections as it takes.
 *
 * No promise has to be handled: one that rejects and is not handled is no unhandled rejection.
 */
export class Meeting extends Target {
  #session;

  /**
   * @param {string} url Like `wss://meet.example/ws`.
   * @param {Options} options
   */
  constructor(url, options) {
    super();
    this.#session = new Session(url, options, (news) => {
      for (const { type, detail } of news) if (type !== "change") this.dispatchEvent(new DetailEvent(type, { detail }));
      this.dispatchEvent(new DetailEvent("change", { detail: {} }));
    });
  }

  /** What this meeting is doing now. */
  get status() {
    return this.#session.status;
  }

  /** The room; null before the first `room-state`. @returns {Room | null} */
  get room() {
    return this.#session.view.room;
  }

  /** This client's own participant, kept current; null before it has a seat. @returns {Participant | null} */
  get me() {
    return this.#session.view.me;
  }

  /** Everybody, in the order of the room. A new `Map` whenever it changes. @returns {Map<string, Participant>} */
  get participants() {
    return this.#session.view.participants;
  }

  /** The last 500, public and private, oldest first. A new array whenever it changes. @returns {Message[]} */
  get messages() {
    return this.#session.view.messages;
  }

  /** Who waits; for hosts. @returns {Waiting[]} */
  get lobby() {
    return this.#session.view.lobby;
  }

  /** Where this client itself waits; else null. @returns {Place | null} */
  get place() {
    return this.#session.view.place;
  }

  /** Names the run of the room in which `seq` counts. */
  get epoch() {
    return this.#session.view.epoch;
  }

  /** The number of the last event that was applied. */
  get seq() {
    return this.#session.view.seq;
  }

  /** Whose hands are up (`handRaised` in their presence), in the order they went up. @returns {Participant[]} */
  get hands() {
    const raised = [...this.participants.values()].filter(({ state }) => state.handRaised);
    const time = (/** @type {Participant} */ { state }) => (typeof state.handRaised === "string" ? state.handRaised : "~");
    return raised.sort((a, b) => (time(a) < time(b) ? -1 : Number(time(a) > time(b))));
  }

  /** Whether the store has a seat in this room: then `resume()` may take it back. */
  get canResume() {
    return this.#session.canResume;
  }

  /**
   * Join the room; done when this client has a seat, or a place in the queue for one. A seat that the store has kept is
   * taken back, if it is still there.
   *
   * Rejects with `Refusal`: the server's, or one with `statusCode` 0 if the server could not be reached. Events tell
   * what happens later. May be called again when the meeting is over.
   *
   * @param {{takeOver?: boolean}} [how] With false, a seat of the same user that is connected elsewhere is left alone:
   *   "taken_over". For calls that no person asked for. Default: true.
   * @returns {Promise<void>}
   */
  join({ takeOver = true } = {}) {
    return this.#session.join({ takesOver: takeOver, onlyResumes: false });
  }

  /**
   * Take the seat back that the store has kept, or the place in the queue, and nothing else; for a page that was loaded
   * again. Needs neither name nor token. Rejects like `join`; with "seat_expired" when there is no seat to take back,
   * with "taken_over" when it is in use on another device or in another tab.
   *
   * @returns {Promise<void>}
   */
  resume() {
    return this.#session.join({ takesOver: false, onlyResumes: true });
  }

  /**
   * Leave the room, or stop trying to join; done when the server has answered, or cannot be reached.
   *
   * The request is sent before this returns, so it may be called while a page unloads. While there is no connection the
   * seat cannot be released; the server holds it until its time is over.
   *
   * @returns {Promise<void>}
   */
  leave() {
    return this.#session.leave();
  }

  /**
   * Send a request of any type, see docs/protocol.md.
   *
   * Rejects with `Refusal`. Its code is "disconnected" when there is no connection, or when the connection ends before
   * the reply, and "no_answer" when there is none after 10 seconds: then it is not known whether the request was carried
   * out.
   *
   * @param {string} type
   * @param {Record<string, unknown>} [fields]
   * @returns {Promise<Frame>} The reply.
   */
  request(type, fields = {}) {
    return this.#session.request(type, fields);
  }

  /**
   * Change the own presence, key by key; null takes a key away.
   *
   * While there is no connection the change is kept, and sent as soon as there is one. If the seat is lost and this
   * client gets another one, its whole presence is sent again.
   *
   * @param {Record<string, string | number | boolean | null>} state
   * @returns {Promise<Frame>}
   */
  updateState(state) {
    return this.#session.updateState(state);
  }

  /** Raise the hand: the server notes when, so that all see hands in the order they went up. */
  raiseHand() {
    return this.updateState({ handRaised: NOW });
  }

  /** Lower the hand. */
  lowerHand() {
    return this.updateState({ handRaised: null });
  }

  /**
   * Set for how long the seat is held after a clean close, such as that of a closed tab. It holds for all connections
   * of this meeting, and may be set before joining.
   *
   * @param {{hold: number}} settings `hold` is in seconds; the server has an upper limit.
   */
  updateConnection({ hold }) {
    return this.#session.hold(hold);
  }

  /**
   * Send a signal to one other participant. Refused with `participant_not_found` while that one is not connected.
   *
   * @param {string} to
   * @param {unknown} data
   */
  signal(to, data) {
    return this.request("signal", { to, data });
  }

  /**
   * Send a message to everyone or, with `to`, to one participant.
   *
   * It is sent again after a reconnect until it is answered, and kept once. Rejects with "no_answer" after 30 seconds,
   * and with "disconnected" when the meeting is over first: then it may still turn up, with its `clientId`.
   *
   * @param {string} text 1 to 2,000 characters.
   * @param {string | null} [to]
   * @param {{clientId?: string}} [options] 1 to 64 characters; give the same one to ask again. Default: a new one.
   */
  say(text, to, { clientId } = {}) {
    return this.#session.say(text, to, clientId);
  }

  /**
   * Take a participant's seat away; with `ban` the user, or guests of the same address, cannot come back. For hosts.
   *
   * @param {string} participantId
   * @param {{ban?: boolean, reason?: string}} [options]
   */
  remove(participantId, { ban, reason } = {}) {
    return this.request("remove-participant", { participantId, ban, reason });
  }

  /**
   * Ask a participant's client to mute itself. For hosts.
   *
   * @param {string} participantId
   */
  mute(participantId) {
    return this.request("mute-participant", { participantId });
  }

  /**
   * Admit somebody who waits for the host. For hosts.
   *
   * @param {string} participantId
   */
  admit(participantId) {
    return this.request("admit-participant", { participantId });
  }

  /** Admit everybody who waits for the host. For hosts. */
  admitAll() {
    return this.request("admit-all");
  }

  /**
   * Deny somebody who waits. For hosts.
   *
   * @param {string} participantId
   */
  deny(participantId) {
    return this.request("deny-participant", { participantId });
  }

  /**
   * Change the room's settings. With `hostId` it is handed over. `{}`, "never" and 0 remove the last three. For hosts.
   *
   * @param {{name?: string, isLocked?: boolean, maxParticipants?: number, allowGuestAccess?: boolean,
   *   waitingRoom?: boolean, historyVisible?: Room["historyVisible"], hostId?: string,
   *   metadata?: Record<string, any>, expiresAt?: string, endWhenEmpty?: number}} settings
   * @returns {Promise<Frame & RoomReply>}
   */
  updateRoom(settings) {
    return /** @type {Promise<any>} */ (this.request("update-room", { ...settings, code: this.#code }));
  }

  /**
   * End the room for everyone in it. For hosts.
   *
   * @returns {Promise<Frame & RoomReply>}
   */
  endRoom() {
    return /** @type {Promise<any>} */ (this.request("end-room", { code: this.#code }));
  }

  /** End the room for everyone in it, and delete it with all that belongs to it. For hosts. */
  deleteRoom() {
    return this.request("delete-room", { code: this.#code });
  }

  /**
   * Ask for STUN and TURN servers; the credentials are good for `ttl` seconds.
   *
   * @returns {Promise<Frame & IceServersReply>}
   */
  iceServers() {
    return /** @type {Promise<any>} */ (this.request("get-ice-servers"));
  }

  /**
   * Read a page of messages, from the oldest on, or from after the message with the id `cursor` on.
   *
   * @param {{cursor?: string | null, limit?: number}} [page]
   * @returns {Promise<Frame & MessagesReply>}
   */
  listMessages({ cursor, limit } = {}) {
    return /** @type {Promise<any>} */ (this.request("list-messages", { code: this.#code, cursor, limit }));
  }

  /**
   * Read a page of bans. For hosts.
   *
   * @param {{cursor?: string | null, limit?: number}} [page]
   * @returns {Promise<Frame & BansReply>}
   */
  listBans({ cursor, limit } = {}) {
    return /** @type {Promise<any>} */ (this.request("list-bans", { cursor, limit }));
  }

  /**
   * Ban a user, or somebody who is or was in the room; give one of the two ids. They need not be there now. For hosts.
   *
   * @param {{userId?: string, participantId?: string, reason?: string}} who
   */
  ban({ userId, participantId, reason }) {
    return this.request("ban", { code: this.#code, userId, participantId, reason });
  }

  /**
   * Lift the ban of a user, or the one with the id that `listBans` shows. For hosts.
   *
   * @param {string | {banId: string}} who
   */
  unban(who) {
    return this.request("unban", typeof who === "string" ? { userId: who } : { banId: who.banId });
  }

  get #code() {
    return this.#session.code;
  }
}
