/**
 * The real daemon, which tests/client/test_javascript.py runs for these tests, and a wire to it that can be cut.
 *
 * TEST_ROOMD_CONTROL is where the daemon is started and stopped, and rooms and tokens are had.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Meeting } from "../../src/roomd.js";
import { FakeHints } from "./fakes.js";
import { EVENTS } from "./stage.js";

/** @import { TestContext } from "node:test" */
/** @import { Clock, Frame, MeetingEvents, Options, Participant, Room } from "../../src/roomd.js" */

const CONTROL = process.env.TEST_ROOMD_CONTROL;
const PATIENCE = 60_000;
const SPEED = 2; // with which the clients' patience still suffices on a busy machine

/** Why the tests that need a daemon are left out, if they are. */
export const skip = !CONTROL
  ? "no daemon: run by tests/client/test_javascript.py"
  : typeof WebSocket === "undefined"
    ? "this Node has no global WebSocket"
    : false;

/** Ask for something outside. @param {string} path @param {object} [body] @returns {Promise<any>} */
async function control(path, body = {}) {
  const response = await fetch(`${CONTROL}/${path}`, { method: "POST", body: JSON.stringify(body) });
  const text = await response.text();
  assert.ok(response.ok, text);
  return JSON.parse(text);
}

export const daemon = {
  /** In order, then start it again. */
  restart: () => control("restart"),
  /** As a crash would, then start it again. */
  crash: () => control("crash"),
  /** @param {object} [settings] @returns {Promise<Room>} a room of Alice's */
  room: (settings) => control("room", settings),
  /** @param {string} user @param {number} [ttl] seconds @returns {Promise<string>} */
  token: (user, ttl = 3600) => control("token", { user, ttl }),
  /** @returns {Promise<string>} */
  url: () => control("url"),
};

/** Time that goes faster. @type {Clock} */
export const HASTE = {
  now: () => performance.now() * SPEED,
  setTimeout: (callback, milliseconds) => setTimeout(callback, milliseconds / SPEED),
  clearTimeout: (timer) => clearTimeout(timer),
};

/** Wait until something holds. @template T @param {() => T} condition @param {string} [what] @returns {Promise<T>} */
export async function until(condition, what = condition.toString()) {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const value = condition();
    if (value) return value;
    assert.ok(performance.now() < deadline, `does not come about: ${what}`);
    await sleep(5);
  }
}

/** A network between a client and the daemon. */
export class Wire {
  /** @type {Set<net.Socket>} */
  #sockets = new Set();
  #server = net.createServer((socket) => this.#connect(socket));
  #isDown = false;
  #target = new URL("ws://none");
  url = "";

  async open() {
    this.#target = new URL(await daemon.url());
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    const { port } = /** @type {net.AddressInfo} */ (this.#server.address());
    this.url = `ws://127.0.0.1:${port}${this.#target.pathname}`;
    return this;
  }

  /** Break every connection; with `down` no other can be made until `mend`. @param {{down?: boolean}} [options] */
  cut({ down = false } = {}) {
    this.#isDown = down;
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  /** Carry nothing any more, and say nothing of it; connections made from now on are carried. */
  freeze() {
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  mend() {
    this.#isDown = false;
  }

  close() {
    this.cut({ down: true });
    this.#server.close();
  }

  /** @param {net.Socket} client */
  #connect(client) {
    if (this.#isDown) return void client.destroy();
    const server = net.connect(Number(this.#target.port), this.#target.hostname);
    for (const [socket, other] of [[client, server], [server, client]]) {
      assert.ok(socket && other);
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => (this.#sockets.delete(socket), other.destroy()));
      socket.pipe(other);
    }
  }
}

/** A meeting, its wire, and what it has told. */
export class Attendee {
  wire = new Wire();
  window = new FakeHints();
  /** @type {[string, any][]} */
  told = [];

  /** @param {Meeting} meeting */
  constructor(meeting) {
    this.meeting = meeting;
    for (const type of EVENTS) meeting.addEventListener(type, ({ detail }) => this.told.push([type, detail]));
  }

  /** @template {keyof MeetingEvents} K @param {K} type @returns {MeetingEvents[K][]} */
  all(type) {
    return this.told.filter(([name]) => name === type).map(([, detail]) => detail);
  }

  /**
   * Wait for the first event of a type, and take it.
   *
   * @template {keyof MeetingEvents} K
   * @param {K} type
   * @returns {Promise<MeetingEvents[K]>}
   */
  async next(type) {
    await until(() => this.told.some(([name]) => name === type), `an event ${type}, for ${JSON.stringify(this.told)}`);
    const [[, detail]] = this.told.splice(this.told.findIndex(([name]) => name === type), 1);
    return detail;
  }

  get id() {
    return this.meeting.me?.id ?? "";
  }

  get names() {
    return [...this.meeting.participants.values()].map(({ displayName }) => displayName);
  }

  /** How many are connected, as this one sees it. */
  get active() {
    return [...this.meeting.participants.values()].filter(({ isActive }) => isActive).length;
  }

  texts() {
    return this.meeting.messages.map(({ text }) => text);
  }
}

/**
 * Prepare somebody to join: a user, or a guest with a capital letter.
 *
 * @param {TestContext} t @param {string} code @param {string} name @param {Partial<Options>} [options]
 */
export async function prepare(t, code, name, options) {
  const who = name === name.toLowerCase() ? { token: await daemon.token(name) } : { guestName: name };
  const window = new FakeHints();
  const wire = await new Wire().open();
  const meeting = new Meeting(wire.url, { code, ...who, clock: HASTE, window, ...options });
  const attendee = Object.assign(new Attendee(meeting), { window, wire });
  t.after(async () => {
    await meeting.leave();
    wire.close();
  });
  return attendee;
}

/** @param {TestContext} t @param {string} code @param {string} name @param {Partial<Options>} [options] */
export async function join(t, code, name, options) {
  const attendee = await prepare(t, code, name, options);
  await attendee.meeting.join();
  return attendee;
}

/**
 * Somebody who asks for the whole `room-state` whenever wanted, and believes nothing else.
 *
 * @param {TestContext} t
 * @param {string} code
 */
export async function observe(t, code) {
  const socket = new WebSocket(await daemon.url());
  t.after(() => socket.close());
  await once(socket, "open");
  return async () => {
    const state = new Promise((resolve) => {
      const heard = (/** @type {MessageEvent} */ event) => {
        const frame = JSON.parse(event.data);
        if (frame.type === "error") assert.fail(event.data);
        if (frame.type !== "room-state") return;
        socket.removeEventListener("message", heard);
        resolve(frame);
      };
      socket.addEventListener("message", heard);
    });
    socket.send(JSON.stringify({ type: "join-room", id: 1, code, guestName: "Observer" }));
    return /** @type {Promise<Frame>} */ (state);
  };
}

/**
 * Check that what clients see is the room: everything, in order.
 *
 * @param {() => Promise<Frame>} observer @param {Attendee[]} attendees
 */
export async function agree(observer, ...attendees) {
  const { epoch, seq, room, participants, messages } = await observer();
  for (const { meeting } of attendees) {
    await until(() => meeting.seq >= seq, `seq ${meeting.seq} rises to ${seq}`);
    assert.deepEqual([meeting.epoch, meeting.seq], [epoch, seq]);
    assert.deepEqual([...meeting.participants.values()], participants);
    assert.deepEqual(meeting.room, room);
    assert.deepEqual(meeting.me, participants.find((/** @type {Participant} */ { id }) => id === meeting.me?.id));
    const said = meeting.messages.filter(({ to }) => to === null);
    assert.deepEqual(said.slice(-50), messages ?? []);
  }
}
