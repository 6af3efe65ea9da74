/** A meeting with a network and a clock that do what a test says. */

import assert from "node:assert/strict";
import { Meeting, Refusal } from "../../src/roomd.js";
import { FakeClock, FakeHints, FakeSocket, settle } from "./fakes.js";
import { person, ROOM, roomState, waiting } from "./frames.js";

/** @import { Frame, MeetingEvents, Options } from "../../src/roomd.js" */

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
  "change", "status", "joined", "updated", "left", "message", "messages-missed", "signal", "room", "place", "lobby", "mute-requested", "replaced", "over",
]); // prettier-ignore

/** Wait for a place in the queue. @param {Partial<Options>} [options] */
export async function inQueue(options) {
  const stage = new Stage(options);
  const joining = stage.ask();
  await settle();
  stage.socket.heard("join-room");
  stage.socket.tell(waiting({ id: 1, resumeToken: "place" }));
  await joining;
  assert.equal(stage.meeting.status, "waiting");
  return stage;
}

/** Wait for a refusal. @param {Promise<unknown>} promise @returns {Promise<Refusal>} */
export async function refused(promise) {
  const error = await promise.then(() => assert.fail("was not refused"), (error) => error);
  assert.ok(error instanceof Refusal, String(error));
  return error;
}

/** Find the end among what was told. @param {[string, any][]} news @returns {any} */
export const over = (news) => news.find(([type]) => type === "over")?.[1];
