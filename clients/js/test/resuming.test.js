/** A page that is loaded again: the seat that the store has kept, and the locks by which tabs agree whose it is. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { hasExpired } from "../src/tokens.js";
import { settle } from "./support/fakes.js";
import { refusal } from "./support/frames.js";
import { over, refused, Stage } from "./support/stage.js";

/** @import { Options, SeatLocks } from "../src/roomd.js" */

/** What tabs share: the locks, as browsers have them. @implements {SeatLocks} */
class FakeLocks {
  /** @type {Map<string, Promise<unknown>>} */
  held = new Map();

  /** @param {string} name @param {{signal: AbortSignal}} options @param {() => Promise<unknown>} callback */
  async request(name, { signal }, callback) {
    const aborted = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    aborted.catch(() => {});
    while (this.held.has(name)) await Promise.race([this.held.get(name), aborted]);
    if (signal.aborted) throw signal.reason;
    const holding = callback();
    this.held.set(name, holding);
    await holding;
    this.held.delete(name);
  }
}

/** A tab of a browser, with its own `sessionStorage`. */
class Tab extends Stage {
  /** @param {FakeLocks} locks @param {Map<string, string>} [storage] @param {Partial<Options>} [options] */
  constructor(locks, storage = new Map(), options) {
    super({
      locks,
      store: {
        get: (key) => storage.get(key) ?? null,
        set: (key, value) => void storage.set(key, value),
        remove: (key) => void storage.delete(key),
      },
      ...options,
    });
    this.storage = storage;
  }

  /** Take the kept seat back, up to the request. */
  async back() {
    const resuming = this.meeting.resume();
    resuming.catch(() => {});
    for (let tries = 0; tries < 5; tries++) await settle();
    this.socket?.open();
    return resuming;
  }
}

test("a page that is loaded again takes its seat back, without name and token", async () => {
  const before = new Tab(new FakeLocks());
  assert.equal(before.meeting.canResume, false);
  await before.join();
  assert.equal(before.meeting.canResume, true);
  const after = new Tab(new FakeLocks(), before.storage, { guestName: undefined });
  assert.equal(after.meeting.canResume, true);
  const resuming = after.back();
  for (let tries = 0; tries < 6; tries++) await settle();
  const request = after.socket.heard("resume");
  assert.equal(request.resumeToken, "token 1");
  after.seat(request);
  await resuming;
  assert.equal(after.meeting.me?.id, "me");
  void after.meeting.leave();
  assert.equal(after.storage.size, 0);
});

test("to resume is to do nothing else: no seat is asked for", async () => {
  const nothing = new Tab(new FakeLocks());
  assert.equal((await refused(nothing.meeting.resume())).code, "seat_expired");
  assert.equal(nothing.sockets.length, 0);
  for (const [code, isKept] of /** @type {const} */ ([["seat_expired", false], ["taken_over", true]])) {
    const before = new Tab(new FakeLocks());
    await before.join();
    const after = new Tab(new FakeLocks(), before.storage);
    const resuming = refused(after.back());
    for (let tries = 0; tries < 6; tries++) await settle();
    after.socket.tell(refusal({ id: after.socket.heard("resume").id, statusCode: 409, code }));
    assert.equal((await resuming).code, code);
    assert.equal(over(after.news()).code, code);
    assert.equal(after.meeting.canResume, isKept);
    assert.deepEqual([after.socket.sent, after.clock.timers.size], [[], 0]);
  }
});

test("a duplicated tab leaves the seat alone; the button takes it over", async () => {
  const locks = new FakeLocks();
  const first = new Tab(locks);
  await first.join();
  await settle();
  const second = new Tab(locks, new Map(first.storage), { guestName: undefined });
  const resuming = refused(second.meeting.resume());
  await second.clock.pass(1.9);
  assert.equal(second.meeting.status, "connecting");
  await second.clock.pass(0.2);
  assert.equal((await resuming).code, "taken_over");
  assert.equal(second.sockets.length, 0);
  const joining = second.meeting.join();
  await second.clock.pass(2.1);
  second.socket.open();
  second.seat(second.socket.heard("join-room"));
  await joining;
  first.socket.drop(4409);
  assert.equal(over(first.news()).code, "taken_over");
  for (let tries = 0; tries < 5; tries++) await settle();
  void first.meeting.leave(); // and has the lock no more
  assert.equal(locks.held.size, 1);
  void second.meeting.leave();
  for (let tries = 0; tries < 5; tries++) await settle();
  assert.equal(locks.held.size, 0);
});

test("a page that is still going away is waited for", async () => {
  const locks = new FakeLocks();
  let gone = () => {};
  void locks.request("roomd:me", { signal: new AbortController().signal }, () => new Promise((resolve) => (gone = () => resolve(null))));
  const storage = new Map([["roomd:abc-def-ghi", '{"participantId":"me","resumeToken":"t"}']]);
  const tab = new Tab(locks, storage);
  const resuming = tab.meeting.resume();
  await tab.clock.pass(1);
  gone();
  for (let tries = 0; tries < 6; tries++) await settle();
  tab.socket.open();
  tab.seat(tab.socket.heard("resume"));
  await resuming;
  assert.equal(tab.meeting.status, "joined");
});

test("leaving while the lock is waited for leaves nothing behind", async () => {
  const locks = new FakeLocks();
  const first = new Tab(locks);
  await first.join();
  await settle();
  const second = new Tab(locks, new Map(first.storage));
  const resuming = refused(second.meeting.resume());
  void second.meeting.leave();
  assert.equal((await resuming).code, "left");
  await settle();
  assert.deepEqual([second.sockets.length, second.clock.timers.size], [0, 0]);
});

test("a store that throws, or holds nonsense, keeps nothing and harms nothing", async () => {
  const fail = () => {
    throw new Error("forbidden");
  };
  const stage = new Stage({ store: { get: fail, set: fail, remove: fail }, locks: null });
  await stage.join();
  assert.equal(stage.meeting.canResume, false);
  void stage.meeting.leave();
  for (const value of ["", "{", "null", "[]", '{"resumeToken":1}']) {
    const tab = new Tab(new FakeLocks(), new Map([["roomd:abc-def-ghi", value]]));
    assert.equal(tab.meeting.canResume, false);
  }
});

test("locks that are forbidden are no obstacle", async () => {
  const storage = new Map([["roomd:abc-def-ghi", '{"participantId":"me","resumeToken":"t"}']]);
  const locks = { request: () => Promise.reject(new Error("forbidden")) };
  const tab = new Tab(new FakeLocks(), storage, { locks });
  const resuming = tab.back();
  for (let tries = 0; tries < 6; tries++) await settle();
  tab.seat(tab.socket.heard("resume"));
  await resuming;
});

test("whether a token has expired is read from it, where it can be read", () => {
  const jwt = (/** @type {object} */ claims) => `h.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;
  assert.equal(hasExpired(jwt({ sub: "jäne?>", exp: 100 }), 100), true);
  assert.equal(hasExpired(jwt({ sub: "jäne?>", exp: 101 }), 100), false);
  for (const token of [jwt({}), "", "a.b.c", "a", "..."]) assert.equal(hasExpired(token, 100), false);
});
