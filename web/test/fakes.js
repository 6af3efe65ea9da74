/** A network and a clock that do what a test says, and nothing else. */

import assert from "node:assert/strict";
import { Meeting } from "../roomd.js";

/** @import { Frame, MeetingEvents, Message, Options, Participant, Room } from "../roomd.js" */

/** Let everything happen that waits for nothing but its turn. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

export class FakeClock {
  time = 1000;
  /** @type {Set<{at: number, callback: () => void}>} */
  timers = new Set();

  now = () => this.time;

  /** @param {() => void} callback @param {number} milliseconds */
  setTimeout = (callback, milliseconds) => {
    const timer = { at: this.time + milliseconds, callback };
    this.timers.add(timer);
    return timer;
  };

  /** @param {any} timer */
  clearTimeout = (timer) => void this.timers.delete(timer);

  /** @param {number} seconds */
  async pass(seconds) {
    const until = this.time + seconds * 1000;
    for (;;) {
      const [next] = [...this.timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.timers.delete(next);
      this.time = Math.max(this.time, next.at);
      next.callback();
      await settle();
    }
    this.time = until;
  }
}

export class FakeSocket extends EventTarget {
  readyState = 0;
  /** What the client said. @type {Frame[]} */
  sent = [];
  /** The client has closed. */
  isLeft = false;

  /** @param {string} url @param {string[]} protocols */
  constructor(url, protocols) {
    super();
    this.url = url;
    this.protocols = protocols;
  }

  /** @param {string} data */
  send(data) {
    assert.equal(this.readyState, 1, `not open: ${data}`);
    this.sent.push(JSON.parse(data));
  }

  close() {
    this.isLeft = true;
    if (this.readyState < 2) this.readyState = 2;
  }

  // What a test makes happen.

  open() {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }

  /** @param {...object} frames Told in one go, as some WebSockets do. */
  tell(...frames) {
    for (const frame of frames) this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(frame) }));
  }

  /** @param {number} code */
  drop(code = 1006) {
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason: "" }));
  }

  /** Take the next thing the client said. @param {string} type */
  heard(type) {
    const frame = this.sent.shift();
    assert.equal(frame?.type, type);
    return /** @type {Frame} */ (frame);
  }
}

export class FakeHints extends EventTarget {
  visibilityState = "visible";
  listeners = 0;

  /** @param {string} type @param {() => void} listener */
  addEventListener(type, listener) {
    this.listeners += 1;
    super.addEventListener(type, listener);
  }

  /** @param {string} type @param {() => void} listener */
  removeEventListener(type, listener) {
    this.listeners -= 1;
    super.removeEventListener(type, listener);
  }
}

/** @type {Room} */
export const ROOM = {
  id: "r", code: "abc-def-ghi", name: "Weekly", hostId: "alice", isActive: true, isLocked: false, maxParticipants: 5,
  allowGuestAccess: true, waitingRoom: false, participantCount: 1, createdAt: "2026-03-03T10:35:00.000Z", endedAt: null,
}; // prettier-ignore

/** @param {string} id @param {Partial<Participant>} [more] @returns {Participant} */
export const person = (id, more) => ({
  id, roomId: "r", userId: null, guestName: id, isActive: true, isHost: false, joinedAt: "2026-03-03T10:36:00.000Z",
  leftAt: null, displayName: id, state: {}, ...more,
}); // prettier-ignore

/** @param {string} id @param {Partial<Message>} [more] @returns {Message} */
export const message = (id, more) => ({
  id, participantId: "bob", displayName: "bob", text: `text of ${id}`, sentAt: "2026-03-03T10:37:00.000Z", to: null, ...more,
}); // prettier-ignore

/** @param {number} seq @param {Participant[]} participants @param {object} [more] */
export const roomState = (seq, participants, more) => ({
  type: "room-state", epoch: "e", seq, room: { ...ROOM, participantCount: participants.length }, participants,
  messages: [], ...more,
}); // prettier-ignore

/** @param {number} seq @param {Partial<Record<"joined" | "updated" | "left", Participant[]>>} lists */
export const changed = (seq, lists) => ({ type: "participants-changed", seq, joined: [], updated: [], left: [], ...lists });

/** @param {object} [more] */
export const refusal = (more) => ({
  type: "error", statusCode: 403, code: "room_locked", message: "Room is locked", ...more,
}); // prettier-ignore

/** A meeting, the sockets it makes, the clock it looks at, and what it tells. */
export class Stage {
  clock = new FakeClock();
  window = new FakeHints();
  document = new FakeHints();
  /** @type {FakeSocket[]} */
  sockets = [];
  /** @type {[string, any][]} */
  told = [];

  /** @param {Partial<Options>} [options] */
  constructor(options) {
    const { sockets } = this;
    class Socket extends FakeSocket {
      /** @param {string} url @param {string[]} protocols */
      constructor(url, protocols) {
        super(url, protocols);
        sockets.push(this);
      }
    }
    this.meeting = new Meeting("ws://server/ws", {
      code: ROOM.code,
      guestName: "Jane",
      WebSocket: Socket,
      clock: this.clock,
      random: () => 0.5,
      window: this.window,
      document: this.document,
      ...options,
    });
    for (const type of EVENTS)
      this.meeting.addEventListener(type, ({ detail }) => this.told.push([type, detail]));
  }

  /** What was told since the last look, without the changes. */
  news() {
    return this.told.splice(0).filter(([type]) => type !== "change");
  }

  get socket() {
    return /** @type {FakeSocket} */ (this.sockets.at(-1));
  }

  /** Begin to join, up to the request for a seat. */
  async ask() {
    const joining = this.meeting.join();
    await settle();
    this.socket.open();
    return joining;
  }

  /** Join a room where Bob is. @param {object} [state] more of the `room-state` */
  async join(state) {
    const joining = this.ask();
    await settle();
    this.seat(this.socket.heard("join-room"), state);
    await joining;
    this.told.length = 0;
    return this.socket;
  }

  /** Answer a request for a seat. @param {Frame} request @param {object} [state] */
  seat({ id }, state) {
    this.socket.tell(
      { type: "participant", id, participant: person("me"), resumeToken: `token ${id}` },
      roomState(10, [person("bob"), person("me")], state),
    );
  }

  /** Lose the connection and open the next one. @param {number} [code] */
  async reconnect(code) {
    this.socket.drop(code);
    await this.clock.pass(2);
    this.socket.open();
    return this.socket;
  }
}

export const EVENTS = /** @type {(keyof MeetingEvents)[]} */ ([
  "change", "status", "joined", "updated", "left", "message", "messages-missed", "signal", "room", "place", "lobby", "mute-requested", "over",
]); // prettier-ignore
