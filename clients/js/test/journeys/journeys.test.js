/** Whole stays, on a real daemon, over wires that break. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { HASTE, agree, daemon, join, observe, prepare, skip, until } from "../support/daemon.js";

/** @import { Message, Refusal } from "../../src/roomd.js" */

/** @param {Promise<unknown>} promise @returns {Promise<Refusal>} */
const refused = (promise) => promise.then(() => assert.fail("was not refused"), (error) => error);

const options = { skip, timeout: 300_000 };

test("two see each other come, change and go", options, async (t) => {
  const { code } = await daemon.room({ name: "Weekly" });
  const observer = await observe(t, code);
  await observer();
  const alice = await join(t, code, "alice");
  const jane = await join(t, code, "Jane");
  assert.equal((await alice.next("joined")).participant.displayName, "Jane");
  assert.deepEqual(jane.names, ["Observer", "alice", "Jane"]);
  assert.deepEqual([jane.meeting.room?.name, alice.meeting.me?.isHost, jane.meeting.me?.isHost], ["Weekly", true, false]);
  await agree(observer, alice, jane);
  await alice.meeting.updateRoom({ name: "Monthly", isLocked: true });
  assert.equal((await jane.next("room")).room.name, "Monthly");
  await agree(observer, alice, jane);
  await jane.meeting.leave();
  assert.equal((await alice.next("left")).participant.id, jane.id);
  await agree(observer, alice);
});

test("a room is handed over with its metadata, and deleted", options, async (t) => {
  const { code } = await daemon.room({ metadata: { course: 101 } });
  const alice = await join(t, code, "alice");
  const bob = await join(t, code, "bob");
  assert.deepEqual(bob.meeting.room?.metadata, { course: 101 });
  await alice.meeting.updateRoom({ hostId: "bob", metadata: {} });
  const { room } = await bob.next("room");
  assert.deepEqual([room.hostId, room.metadata, bob.meeting.me?.isHost], ["bob", undefined, true]);
  assert.equal((await refused(alice.meeting.deleteRoom())).code, "not_host");
  await bob.meeting.deleteRoom();
  assert.equal((await alice.next("over")).code, "room_ended");
});

test("a dropped connection takes its seat back; the others see it go and come", options, async (t) => {
  const { code } = await daemon.room();
  const observer = await observe(t, code);
  await observer();
  const alice = await join(t, code, "alice");
  const jane = await join(t, code, "Jane");
  const { id } = jane;
  jane.wire.cut();
  assert.equal((await alice.next("updated")).participant.isActive, false);
  assert.deepEqual((await alice.next("updated")).participant, { ...jane.meeting.me, isActive: true });
  await until(() => jane.meeting.status === "joined");
  assert.equal(jane.id, id);
  const statuses = ["connecting", "joined", "reconnecting", "reconnecting", "joined"];
  assert.deepEqual(jane.all("status").map(({ status }) => status), statuses);
  assert.deepEqual([alice.all("left"), alice.all("joined").length], [[], 1]);
  await agree(observer, alice, jane);
});

test("a network that is dead without a word is noticed by silence, sooner by a hint", options, async (t) => {
  const { code } = await daemon.room();
  const alice = await join(t, code, "alice");
  const jane = await join(t, code, "Jane");
  const { id } = jane;
  /** @type {number[]} */
  const took = [];
  for (const hint of [true, false]) {
    jane.wire.freeze();
    const begun = performance.now();
    if (hint) jane.window.dispatchEvent(new Event("offline"));
    await until(() => jane.meeting.status === "reconnecting");
    took.push(performance.now() - begun);
    await until(() => jane.meeting.status === "joined");
    assert.equal(jane.id, id);
  }
  const [soon = 0, late = 0] = took;
  assert.ok(soon * 2 < late, `${took}`);
  assert.equal(alice.all("left").length, 0);
});

test("a restart and a crash of the server cost nobody the seat", options, async (t) => {
  const { code } = await daemon.room();
  const observer = await observe(t, code);
  await observer();
  const alice = await join(t, code, "alice");
  const jane = await join(t, code, "Jane");
  const ids = [alice.id, jane.id];
  for (const how of /** @type {const} */ (["restart", "crash"])) {
    const { epoch } = alice.meeting;
    await daemon[how]();
    await until(() => [alice, jane].every(({ meeting }) => meeting.status === "joined" && meeting.epoch !== epoch));
    assert.deepEqual([alice.id, jane.id], ids);
    const again = await observe(t, code);
    await again();
    await until(() => [alice, jane].every((one) => one.active === 3));
    await agree(again, alice, jane);
  }
  assert.deepEqual([alice.all("over"), jane.all("over")], [[], []]);
});

test("refusals come as the server words them", options, async (t) => {
  const { code } = await daemon.room({ maxParticipants: 2 });
  const alice = await join(t, code, "alice");
  const cases = /** @type {const} */ ([
    ["room_not_found", "zzz-zzz-zzz", "Jane"],
    ["invalid_guest_name", code, " "],
    ["room_locked", code, "Jane"],
    ["room_full", code, "Jane"],
    ["guests_not_allowed", code, "Jane"],
  ]);
  for (const [reason, where, name] of cases) {
    if (reason === "room_locked") await alice.meeting.updateRoom({ isLocked: true });
    if (reason === "guests_not_allowed") await alice.meeting.updateRoom({ allowGuestAccess: false });
    if (reason === "room_full") {
      await alice.meeting.updateRoom({ isLocked: false });
      await join(t, code, "bob");
    }
    const late = await prepare(t, where, name, name === " " ? { guestName: name, token: undefined } : {});
    assert.equal((await refused(late.meeting.join())).code, reason);
    assert.deepEqual(late.all("over").map(({ code }) => code), [reason]);
  }
  assert.equal((await refused(alice.meeting.updateRoom({ maxParticipants: 1 }))).code, "invalid_settings");
  await alice.meeting.endRoom();
  assert.equal((await alice.next("over")).code, "room_ended");
  const late = await prepare(t, code, "bob");
  assert.equal((await refused(late.meeting.join())).code, "room_inactive");
});

test("who joins from somewhere else goes on there, with the same seat", options, async (t) => {
  const { code } = await daemon.room();
  /** @type {Set<any>} */
  const due = new Set();
  const clock = {
    ...HASTE,
    /** @type {typeof HASTE.setTimeout} */
    setTimeout: (callback, milliseconds) => {
      const timer = HASTE.setTimeout(() => (due.delete(timer), callback()), milliseconds);
      due.add(timer);
      return timer;
    },
    clearTimeout: (/** @type {any} */ timer) => (due.delete(timer), HASTE.clearTimeout(timer)),
  };
  const first = await join(t, code, "bob", { clock });
  const second = await join(t, code, "bob");
  assert.equal((await first.next("over")).code, "taken_over");
  assert.equal(second.id, first.id);
  assert.equal(due.size, 0, "the first does nothing more");
  await second.meeting.request("ping");
  assert.equal(second.meeting.status, "joined");
});

test("a token that has expired costs no seat, and is replaced when there is another", options, async (t) => {
  const { code } = await daemon.room();
  const tokens = await Promise.all([-60, 3600, -60, 3600].map((ttl) => daemon.token("bob", ttl)));
  const bob = await join(t, code, "bob", { token: () => tokens.shift() });
  const { id } = bob;
  bob.wire.cut();
  for (const left of [1, 0]) {
    await until(() => bob.meeting.status === "joined" && tokens.length === left);
    assert.equal(bob.id, id);
    if (left > 0) bob.wire.cut();
  }
  const late = await prepare(t, code, "bob", { token: await daemon.token("bob", -60) });
  assert.equal((await refused(late.meeting.join())).code, "token_expired");
  assert.equal((await late.next("over")).code, "bad_token");
});

test("a program that has left ends by itself", options, async () => {
  const { code } = await daemon.room();
  const program = `
    import { Meeting } from ${JSON.stringify(new URL("../../src/roomd.js", import.meta.url))};
    const meeting = new Meeting(${JSON.stringify(await daemon.url())}, { code: "${code}", guestName: "Program" });
    await meeting.join();
    console.log([...meeting.participants.values()][0].displayName);
    await meeting.leave();
    const left = performance.now();
    process.on("exit", () => console.log(performance.now() - left < 10_000));`; // the shortest timer of a connection: 12 s
  const flags = process.execArgv.filter((flag) => flag.includes("websocket"));
  const run = promisify(execFile)(process.execPath, [...flags, "--input-type=module", "--eval", program]);
  assert.equal((await run).stdout, "Program\ntrue\n");
});

// What people do in a meeting.

test("presence is seen by all, and outlives drops and restarts", options, async (t) => {
  const { code } = await daemon.room();
  const observer = await observe(t, code);
  await observer();
  const alice = await join(t, code, "alice");
  const jane = await join(t, code, "Jane");
  await jane.meeting.updateState({ muted: true, handRaised: true });
  await jane.meeting.updateState({ handRaised: null });
  for (const { meeting } of [alice, jane])
    await until(() => JSON.stringify(meeting.participants.get(jane.id)?.state) === '{"muted":true}');
  await agree(observer, alice, jane);
  jane.wire.cut();
  await until(() => jane.meeting.status === "reconnecting");
  await jane.meeting.updateState({ camera: "off" });
  await until(() => alice.meeting.participants.get(jane.id)?.state.camera === "off");
  await daemon.crash();
  await until(() => jane.meeting.status === "joined" && jane.meeting.epoch === alice.meeting.epoch);
  assert.deepEqual(jane.meeting.me?.state, { muted: true, camera: "off" });
  const bad = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`key${i}`, i]));
  assert.equal((await refused(jane.meeting.updateState(bad))).code, "bad_frame");
});

test("signals go to one, and not to a seat that is only held", options, async (t) => {
  const { code } = await daemon.room();
  const [alice, jane, bob] = [await join(t, code, "alice"), await join(t, code, "Jane"), await join(t, code, "bob")];
  for (let i = 0; i < 20; i++) alice.meeting.signal(jane.id, { n: i });
  await until(() => jane.all("signal").length === 20);
  assert.deepEqual(jane.all("signal"), Array.from({ length: 20 }, (_, n) => ({ from: alice.id, data: { n } })));
  assert.deepEqual(bob.all("signal"), []);
  jane.wire.cut({ down: true });
  await until(() => alice.meeting.participants.get(jane.id)?.isActive === false);
  const { statusCode, code: reason } = await refused(alice.meeting.signal(jane.id, {}));
  assert.deepEqual([statusCode, reason], [404, "participant_not_found"]);
  jane.wire.mend();
  await until(() => jane.meeting.status === "joined");
  await alice.meeting.signal(jane.id, "again");
});

test("messages reach all or one; what was missed is read on coming back, in order", options, async (t) => {
  const { code } = await daemon.room();
  const observer = await observe(t, code);
  await observer();
  const [alice, jane, bob] = [await join(t, code, "alice"), await join(t, code, "Jane"), await join(t, code, "bob")];
  await alice.meeting.say("one");
  await alice.meeting.say("for Jane", jane.id);
  assert.deepEqual([(await jane.next("message")).message.text, (await jane.next("message")).message.to], ["one", jane.id]);
  jane.wire.cut({ down: true });
  await until(() => alice.meeting.participants.get(jane.id)?.isActive === false);
  await bob.meeting.say("two");
  await bob.meeting.say("for Jane only", jane.id);
  await bob.meeting.say("𝄞".repeat(2000));
  jane.wire.mend();
  const all = ["one", "for Jane", "two", "for Jane only", "𝄞".repeat(2000)];
  await until(() => jane.texts().length === 5);
  assert.deepEqual(jane.texts(), all);
  assert.equal(jane.all("message").length, 3);
  await until(() => alice.texts().length === 4);
  assert.deepEqual(alice.texts(), ["one", "for Jane", "two", "𝄞".repeat(2000)]);
  await agree(observer, alice, jane, bob);
  const { messages } = await jane.meeting.listMessages();
  assert.deepEqual(messages, jane.meeting.messages);
  assert.equal((await refused(jane.meeting.say(""))).code, "bad_frame");
  await alice.meeting.endRoom();
});

test("a host removes, bans and lifts the ban", options, async (t) => {
  const { code } = await daemon.room();
  const [alice, bob, jane] = [await join(t, code, "alice"), await join(t, code, "bob"), await join(t, code, "Jane")];
  assert.equal((await refused(bob.meeting.remove(jane.id))).code, "not_host");
  assert.equal((await refused(alice.meeting.remove(alice.id))).code, "wrong_user");
  await alice.meeting.mute(jane.id);
  await jane.next("mute-requested");
  await alice.meeting.remove(jane.id);
  assert.deepEqual((await jane.next("over")).code, "removed");
  await alice.meeting.remove(bob.id, { ban: true, reason: "spam" });
  assert.deepEqual(await bob.next("over"), { code: "removed", message: "You were removed from this room", reason: "spam" });
  await until(() => alice.names.length === 1);
  assert.equal((await refused(bob.meeting.join())).code, "banned");
  const { bans } = await alice.meeting.listBans();
  assert.deepEqual(bans.map(({ userId, reason }) => [userId, reason]), [["bob", "spam"]]);
  await alice.meeting.unban("bob");
  await bob.meeting.join();
  await jane.meeting.join();
  await until(() => alice.names.length === 3);
});

test("who is removed while the network is gone does not come back", options, async (t) => {
  const { code } = await daemon.room();
  const [alice, bob] = [await join(t, code, "alice"), await join(t, code, "bob")];
  bob.wire.cut({ down: true });
  await until(() => alice.meeting.participants.get(bob.id)?.isActive === false);
  await alice.meeting.remove(bob.id, { ban: true });
  bob.wire.mend();
  assert.equal((await bob.next("over")).code, "removed");
});

test("newcomers wait for the host, who admits or declines", options, async (t) => {
  const { code } = await daemon.room({ waitingRoom: true });
  const alice = await join(t, code, "alice");
  const [jane, eve, dan] = [await join(t, code, "Jane"), await join(t, code, "Eve"), await join(t, code, "Dan")];
  assert.deepEqual([jane, eve, dan].map(({ meeting }) => [meeting.status, meeting.place?.position, meeting.place?.reason]), [
    ["waiting", 1, "waiting_room"], ["waiting", 2, "waiting_room"], ["waiting", 3, "waiting_room"],
  ]);
  assert.equal(jane.meeting.room, null);
  await until(() => alice.meeting.lobby.length === 3);
  const queue = alice.meeting.lobby.map(({ displayName, position }) => `${displayName} ${position}`);
  assert.deepEqual(queue, ["Jane 1", "Eve 2", "Dan 3"]);
  const id = jane.meeting.place?.participantId ?? "";
  await alice.meeting.admit(id);
  await until(() => jane.meeting.status === "joined");
  assert.deepEqual([jane.id, jane.meeting.place], [id, null]);
  await until(() => dan.meeting.place?.position === 2);
  await alice.meeting.deny(eve.meeting.place?.participantId ?? "");
  assert.equal((await eve.next("over")).code, "denied");
  dan.wire.cut();
  await until(() => dan.meeting.status === "reconnecting");
  await until(() => dan.meeting.status === "waiting");
  await until(() => alice.meeting.lobby.length === 1 && alice.meeting.lobby[0]?.isActive);
  await daemon.restart();
  await until(() => [alice, dan, jane].every(({ meeting }) => meeting.status !== "reconnecting"));
  assert.equal(dan.meeting.status, "waiting");
  await until(() => alice.meeting.lobby.length === 1);
  await alice.meeting.admitAll();
  await until(() => dan.meeting.status === "joined");
  await until(() => alice.meeting.lobby.length === 0);
  assert.deepEqual(dan.names, ["alice", "Jane", "Dan"]);
});

test("who was admitted while the network was gone comes back into the seat; who was declined does not take the place back", options, async (t) => {
  const { code } = await daemon.room({ waitingRoom: true });
  const alice = await join(t, code, "alice");
  const [jane, eve] = [await join(t, code, "Jane"), await join(t, code, "Eve")];
  for (const away of [jane, eve]) away.wire.cut({ down: true });
  await until(() => alice.meeting.lobby.length === 2 && alice.meeting.lobby.every(({ isActive }) => !isActive));
  const place = eve.meeting.place?.participantId ?? "";
  await alice.meeting.admit(jane.meeting.place?.participantId ?? "");
  await alice.meeting.deny(place);
  for (const away of [jane, eve]) away.wire.mend();
  await until(() => jane.meeting.status === "joined");
  await until(() => jane.names.length === 2);
  // A server that remembers says so; for one that does not, a declined place is one that is held no longer.
  const isAnother = () => eve.meeting.status === "waiting" && eve.meeting.place?.participantId !== place;
  await until(() => isAnother() || eve.all("over").some(({ code }) => code === "denied"));
});

test("who waits for a seat gets the next one; who leaves the queue makes room in it", options, async (t) => {
  const { code } = await daemon.room({ maxParticipants: 2 });
  const [alice, bob] = [await join(t, code, "alice"), await join(t, code, "bob")];
  const [jane, eve] = [await join(t, code, "Jane", { wait: true }), await join(t, code, "Eve", { wait: true })];
  assert.deepEqual([jane.meeting.place?.reason, eve.meeting.place?.position], ["room_full", 2]);
  await jane.meeting.leave();
  await until(() => eve.meeting.place?.position === 1);
  assert.equal(eve.all("place").length > 0, true);
  await bob.meeting.leave();
  await until(() => eve.meeting.status === "joined");
  assert.deepEqual(eve.names, ["alice", "Eve"]);
  const dan = await join(t, code, "Dan", { wait: true });
  await alice.meeting.endRoom();
  assert.equal((await dan.next("over")).code, "room_inactive");
  assert.equal((await eve.next("over")).code, "room_ended");
});

test("ICE servers are had by those in the room", options, async (t) => {
  const { code } = await daemon.room();
  const jane = await join(t, code, "Jane");
  const { iceServers, ttl } = await jane.meeting.iceServers();
  assert.ok(Array.isArray(iceServers) && ttl > 0);
});

const CHAOS = Number(process.env.TEST_ROOMD_CHAOS ?? 1);

for (let seed = 1; seed <= CHAOS; seed++)
  test(`whatever happens, everybody's view is the room (${seed})`, options, async (t) => {
    const { code } = await daemon.room();
    const observer = await observe(t, code);
    await observer();
    const people = await Promise.all(["alice", "bob", "Jane", "Eve"].map((name) => join(t, code, name)));
    let state = seed;
    const random = (/** @type {number} */ n) => (state = (state * 48271) % 2147483647) % n;
    for (let step = 0; step < 150; step++) {
      const [{ meeting, wire }, other] = [people[random(4)] ?? assert.fail(), people[random(4)] ?? assert.fail()];
      switch (random(10)) {
        case 0: case 1: meeting.say(`public ${step}`); break;
        case 2: meeting.say(`private ${step}`, other.id); break;
        case 3: case 4: meeting.updateState({ [`key${random(4)}`]: random(5) ? step : null }); break;
        case 5: wire.cut({ down: random(4) === 0 }); break;
        case 6: wire.mend(); break;
        case 7: if (meeting.me?.isHost) meeting.updateRoom({ name: `Name ${step}` }); break;
        case 8: await sleep(random(100)); break;
        case 9: if (random(4) === 0) { await meeting.leave(); wire.mend(); await meeting.join(); } break;
      } // prettier-ignore
    }
    for (const { wire } of people) wire.mend();
    for (const { meeting } of people) // who is answered has felt the last cut
      while (!(await meeting.request("ping").catch(() => null))) await until(() => meeting.status === "joined");
    await until(() => people.every(({ meeting }) => meeting.status === "joined"));
    await until(() => people.every((one) => one.active === 5));
    await Promise.all(people.map(({ meeting }) => meeting.request("ping")));
    await agree(observer, ...people);
    for (const { meeting, id } of people) {
      // A guest who had to take another seat remembers what was said to the one before.
      const isOwn = (/** @type {Message} */ { to, participantId }) => to === null || to === id || participantId === id;
      const [seen, kept] = [meeting.messages, (await meeting.listMessages({ limit: 200 })).messages];
      const since = kept.findIndex(({ id }) => id === seen[0]?.id);
      assert.deepEqual(seen.filter(isOwn), kept.slice(since).filter(isOwn));
    }
  });
