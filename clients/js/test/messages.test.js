/** Messages on their way: kept and told once, and given up after a stated time. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/fakes.js";
import { message, person, RESUMED, roomState } from "./support/frames.js";
import { refused, Stage } from "./support/stage.js";

/** Come back, to the same seat. @param {Stage} stage */
async function comeBack(stage) {
  await stage.reconnect();
  stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, roomState(20, [person("me")]));
}

test("every message has its own clientId, of at most 64 characters", async () => {
  const stage = new Stage();
  await stage.join();
  const ids = new Set();
  for (let i = 0; i < 50; i++) {
    stage.meeting.say("Hello", "bob");
    const { clientId, to } = stage.socket.heard("send-message");
    assert.match(clientId, /^[0-9a-z]{22}$/);
    assert.equal(to, "bob");
    ids.add(clientId);
  }
  assert.equal(ids.size, 50);
});

test("what has no answer is sent again after a reconnect, in order and before what is said later", async () => {
  const stage = new Stage();
  await stage.join();
  const told = [stage.meeting.say("1"), stage.meeting.say("2")];
  const first = stage.socket.sent.map(({ clientId }) => clientId);
  stage.socket.drop();
  told.push(stage.meeting.say("3"));
  stage.socket.sent.length = 0;
  await comeBack(stage);
  told.push(stage.meeting.say("4"));
  const sent = stage.socket.sent.filter(({ type }) => type === "send-message");
  assert.deepEqual(sent.map(({ text }) => text), ["1", "2", "3", "4"]);
  assert.deepEqual(sent.slice(0, 2).map(({ clientId }) => clientId), first);
  stage.socket.tell(...sent.map(({ id }) => ({ type: "ok", id })));
  await Promise.all(told);
  await comeBack(stage);
  assert.deepEqual(stage.socket.sent.map(({ type }) => type), ["list-messages"]);
});

test("a message that turns up is answered by that, and not sent again; one of somebody else is none", async () => {
  const stage = new Stage();
  await stage.join();
  const said = stage.meeting.say("Hello", null, { clientId: "c" });
  const own = { ...message("m1", { participantId: "me" }), clientId: "c" };
  stage.socket.tell({ type: "message", message: { ...own, id: "m0", participantId: "bob" } });
  await settle();
  assert.equal(stage.clock.timers.size, 3); // silence, the request, the message
  stage.socket.tell({ type: "message", message: own });
  await said;
  await comeBack(stage);
  assert.deepEqual(stage.socket.sent.map(({ type }) => type), ["list-messages"]);
});

test("a message found among the missed ones is answered by that", async () => {
  const stage = new Stage();
  await stage.join();
  const said = stage.meeting.say("Hello", null, { clientId: "c" });
  await comeBack(stage);
  const list = stage.socket.sent.find(({ type }) => type === "list-messages");
  const own = { ...message("m1", { participantId: "me" }), clientId: "c" };
  stage.socket.tell({ type: "messages", id: list?.id, messages: [own], nextCursor: null });
  await said;
});

test("without an answer on a connection that lives the message is sent again, and given up after 30 seconds", async () => {
  const stage = new Stage();
  await stage.join();
  const said = refused(stage.meeting.say("Hello", null, { clientId: "c" }));
  for (let seconds = 0; seconds < 29; seconds++) {
    await stage.clock.pass(1);
    stage.socket.tell({ type: "pong" });
  }
  const sent = stage.socket.sent.filter(({ type }) => type === "send-message");
  assert.deepEqual(sent.map(({ clientId }) => clientId), ["c", "c", "c"]);
  await stage.clock.pass(1.1);
  assert.equal((await said).code, "no_answer");
  assert.equal(stage.meeting.status, "joined");
});

test("without a connection a message waits, 30 seconds and no longer, and a hundred and no more", async () => {
  const stage = new Stage();
  await stage.join();
  stage.socket.drop(1013);
  const waiting = Array.from({ length: 100 }, () => refused(stage.meeting.say("Hello")));
  assert.equal((await refused(stage.meeting.say("Hello"))).code, "too_many");
  await stage.clock.pass(30.1);
  for (const one of waiting) assert.equal((await one).code, "no_answer");
  const last = refused(stage.meeting.say("Hello"));
  await stage.meeting.leave();
  assert.equal((await last).code, "disconnected");
});

test("who has no seat says nothing", async () => {
  const stage = new Stage();
  assert.equal((await refused(stage.meeting.say("Hello"))).code, "disconnected");
  refused(stage.ask());
  await settle();
  assert.equal((await refused(stage.meeting.say("Hello"))).code, "disconnected");
  void stage.meeting.leave();
  assert.equal((await refused(stage.meeting.say("Hello"))).code, "disconnected");
});

test("a message too long for a frame is refused, and the next one is sent", async () => {
  const stage = new Stage();
  await stage.join();
  assert.equal((await refused(stage.meeting.say("ä".repeat(40_000)))).code, "too_long");
  stage.meeting.say("Hello");
  assert.equal(stage.socket.heard("send-message").text, "Hello");
});
