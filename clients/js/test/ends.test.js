/** Ends: removed, ended, and leaving at any moment. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/fakes.js";
import { person } from "./support/frames.js";
import { over, refused, Stage } from "./support/stage.js";

test("a host's removal is the end, with the host's words", async () => {
  const stage = new Stage();
  await stage.join();
  stage.socket.tell({ type: "removed", reason: "spam" });
  stage.socket.drop(4403);
  assert.deepEqual(stage.news(), [
    ["status", { status: "over" }],
    ["over", { code: "removed", message: "You were removed from this room", reason: "spam" }],
  ]);
});

test("the end of the room is the end", async () => {
  const stage = new Stage();
  await stage.join();
  stage.socket.tell({ type: "room-ended", seq: 11, roomId: "r" });
  assert.equal(over(stage.news()).code, "room_ended");
});

test("leaving says so to the server, at once", async () => {
  const stage = new Stage();
  await stage.join();
  const leaving = stage.meeting.leave();
  const { id } = stage.socket.heard("leave-room");
  assert.deepEqual(stage.news(), [["status", { status: "over" }], ["over", { code: "left", message: "You left the room", reason: null }]]);
  stage.socket.tell({ type: "participant", id, participant: person("me", { leftAt: "2026-03-03T10:40:00.000Z" }) });
  await leaving;
  assert.ok(stage.socket.isLeft);
  assert.equal(stage.clock.timers.size, 0);
  assert.equal(stage.window.listeners + stage.document.listeners, 0);
  await stage.meeting.leave();
  assert.deepEqual(stage.told, []);
});

test("leaving waits only so long", async () => {
  const stage = new Stage();
  await stage.join();
  const unsaid = refused(stage.meeting.updateState({ muted: true }));
  const leaving = stage.meeting.leave();
  await stage.clock.pass(2);
  await leaving;
  assert.equal((await unsaid).code, "disconnected");
  assert.ok(stage.socket.isLeft);
  assert.equal(stage.clock.timers.size, 0);
});

for (const [name, prepare] of /** @type {[string, (stage: Stage) => unknown][]} */ ([
  ["before joining", () => {}],
  ["before there is a connection", (stage) => void stage.meeting.join()],
  ["while the connection is made", (stage) => (stage.meeting.join(), settle())],
  ["between two attempts", async (stage) => (await stage.join(), stage.socket.drop())],
  ["in the middle of an attempt", async (stage) => (await stage.join(), stage.socket.drop(), stage.clock.pass(1))],
]))
  test(`leaving ${name} leaves nothing behind`, async () => {
    const stage = new Stage();
    await prepare(stage);
    stage.news();
    await stage.meeting.leave();
    await settle();
    assert.deepEqual(over(stage.news())?.code, "left");
    assert.equal(stage.clock.timers.size, 0);
    assert.ok(stage.sockets.every(({ isLeft, readyState }) => isLeft || readyState === 3));
  });

test("leaving before the token is had makes no connection", async () => {
  let give = (/** @type {string} */ _) => {};
  const stage = new Stage({ token: () => new Promise((resolve) => (give = resolve)) });
  const joining = refused(stage.meeting.join());
  await stage.meeting.leave();
  assert.equal(stage.clock.timers.size, 0);
  give("late");
  assert.equal((await joining).code, "left");
  await settle();
  assert.equal(stage.sockets.length, 0);
});

test("leaving while the join is answered gives the seat up that is about to come", async () => {
  const stage = new Stage();
  const joining = refused(stage.ask());
  await settle();
  const leaving = stage.meeting.leave();
  assert.deepEqual(stage.socket.sent.map(({ type }) => type), ["join-room", "leave-room"]);
  assert.equal((await joining).code, "left");
  stage.seat({ type: "join-room", id: 1 });
  stage.socket.tell({ type: "participant", id: 2, participant: person("me") });
  await leaving;
  assert.equal(stage.meeting.status, "over");
  assert.equal(stage.meeting.me, null);
});

test("leaving from within a listener", async () => {
  for (const [type, status] of /** @type {const} */ ([["status", "connecting"], ["status", "joined"], ["status", "reconnecting"]])) {
    const stage = new Stage();
    stage.meeting.addEventListener(type, ({ detail }) => void (detail.status === status && stage.meeting.leave()));
    stage.meeting.join();
    await settle();
    if (status !== "connecting") {
      stage.socket.open();
      stage.seat(stage.socket.heard("join-room"));
      stage.socket.drop();
    }
    await stage.clock.pass(60);
    assert.equal(stage.meeting.status, "over");
    assert.equal(stage.clock.timers.size, 0);
  }
});
