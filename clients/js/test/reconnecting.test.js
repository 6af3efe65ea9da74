/** Connections that are lost: back-off, taking the seat back, and closes after which nothing is tried. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/fakes.js";
import { changed, message, person, refusal, RESUMED, roomState } from "./support/frames.js";
import { inQueue, over, Stage } from "./support/stage.js";

test("a dropped connection is made anew, and the seat taken back with the last token", async () => {
  const stage = new Stage();
  await stage.join();
  stage.socket.drop();
  assert.deepEqual(stage.news(), [["status", { status: "reconnecting", retryIn: 0.75 }]]);
  await stage.clock.pass(0.7);
  assert.equal(stage.sockets.length, 1);
  await stage.clock.pass(0.1);
  stage.socket.open();
  const { id, resumeToken } = stage.socket.heard("resume");
  assert.equal(resumeToken, "token 1");
  stage.socket.tell({ ...RESUMED, id }, roomState(20, [person("me"), person("eve")], { messages: [message("m1")] }));
  assert.deepEqual(stage.news().map(([type, detail]) => [type, detail.participant?.id ?? detail.status]), [
    ["status", "reconnecting"], ["status", "joined"], ["joined", "eve"], ["left", "bob"],
  ]); // prettier-ignore
  stage.socket.heard("list-messages");
  stage.socket.tell(changed(21, { left: [person("eve")] }));
  assert.deepEqual([...stage.meeting.participants.keys()], ["me"]);
  await stage.reconnect();
  assert.equal(stage.socket.heard("resume").resumeToken, "next");
});

test("a seat that is held no longer is asked for anew, and brings the presence along", async () => {
  const stage = new Stage();
  await stage.join();
  stage.socket.tell(changed(11, { updated: [person("me", { state: { muted: true, camera: "on" } })] }));
  const granted = stage.meeting.updateState({ camera: null, handRaised: true });
  stage.socket.tell({ type: "ok", id: stage.socket.heard("update-participant").id });
  await granted; // but the connection goes before the view shows it
  await stage.reconnect();
  const { id } = stage.socket.heard("resume");
  stage.socket.tell(refusal({ id, statusCode: 410, code: "seat_expired" }));
  await settle();
  const { id: again, guestName, takeOver } = stage.socket.heard("join-room");
  assert.deepEqual([guestName, takeOver], ["Jane", false]);
  stage.news();
  stage.socket.tell({ ...RESUMED, id: again, participant: person("me2") }, roomState(20, [person("bob"), person("me2")]));
  assert.deepEqual(stage.news().map(([type]) => type), ["status"]);
  assert.equal(stage.meeting.me?.id, "me2");
  assert.deepEqual(stage.socket.heard("update-participant").state, { muted: true, camera: null, handRaised: true });
});

test("who comes back to a locked room is told so", async () => {
  const stage = new Stage();
  await stage.join();
  await stage.reconnect();
  stage.socket.tell(refusal({ id: stage.socket.heard("resume").id, statusCode: 410, code: "seat_expired" }));
  await settle();
  stage.socket.tell(refusal({ id: stage.socket.heard("join-room").id }));
  assert.deepEqual(over(stage.news()), { code: "room_locked", message: "Room is locked", reason: null });
});

test("attempts come further and further apart, to half a minute, and soon again after a good while", async () => {
  const stage = new Stage();
  await stage.join();
  const pauses = [];
  for (let i = 0; i < 9; i++) {
    stage.socket.drop();
    const { retryIn } = stage.news().at(-1)?.[1];
    pauses.push(retryIn);
    await stage.clock.pass(retryIn);
  }
  assert.deepEqual(pauses, [0.75, 1.5, 3, 6, 12, 22.5, 22.5, 22.5, 22.5]);
  stage.socket.open();
  stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, roomState(20, [person("me")]));
  stage.socket.tell({ type: "messages", id: stage.socket.heard("list-messages").id, messages: [], nextCursor: null });
  await stage.clock.pass(11);
  stage.socket.drop();
  assert.equal(stage.news().at(-1)?.[1].retryIn, 0.75);
});

test("a connection that breaks at once, again and again, is not made without pause", async () => {
  const stage = new Stage();
  await stage.join();
  const pauses = [];
  for (let i = 0; i < 4; i++) {
    stage.socket.drop();
    pauses.push(stage.news().at(-1)?.[1].retryIn);
    await stage.clock.pass(pauses[i]);
    stage.socket.open();
    stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, roomState(20, [person("me")]));
  }
  assert.deepEqual(pauses, [0.75, 1.5, 3, 6]);
});

test("a restart is waited for as long as the server says", async () => {
  const stage = new Stage();
  await stage.join();
  stage.socket.tell({ type: "server-restarting", retryAfter: 3.2 });
  stage.socket.drop(1012);
  assert.deepEqual(stage.news(), [["status", { status: "reconnecting", retryIn: 3.2 }]]);
  await stage.clock.pass(3.3);
  stage.socket.open();
  const { id } = stage.socket.heard("resume");
  stage.socket.tell(refusal({ id, statusCode: 503, code: "restarting", retryAfter: 7 }));
  assert.equal(stage.news().at(-1)?.[1].retryIn, 7);
  await stage.clock.pass(7);
  stage.socket.drop();
  assert.equal(stage.news().at(-1)?.[1].retryIn, 3);
});

test("a restart counts as a failure: the server may restart again and again", async () => {
  const stage = new Stage();
  await stage.join();
  for (const retryIn of [0.75, 1.5, 3]) {
    stage.socket.drop();
    await stage.clock.pass(retryIn);
  }
  stage.socket.drop(1012);
  assert.equal(stage.news().at(-1)?.[1].retryIn, 6);
});

for (const code of [1013, 4429])
  test(`after close ${code} it is tried later`, async () => {
    const stage = new Stage();
    await stage.join();
    stage.socket.drop(code);
    assert.equal(stage.news().at(-1)?.[1].retryIn, 5);
  });

for (const [code, end] of /** @type {const} */ ([
  [1003, "bad_frame"], [1007, "bad_frame"], [1009, "bad_frame"], [4403, "removed"], [4409, "taken_over"],
])) // prettier-ignore
  test(`close ${code} is the end: ${end}`, async () => {
    const stage = new Stage();
    await stage.join();
    stage.socket.drop(code);
    assert.equal(over(stage.news()).code, end);
    await stage.clock.pass(100);
    assert.equal(stage.sockets.length, 1);
    assert.equal(stage.clock.timers.size, 0);
  });

for (const [code, end] of /** @type {const} */ ([["banned", "removed"], ["removed", "removed"], ["denied", "denied"]]))
  test(`who is told "${code}" on coming back does not ask for another seat: ${end}`, async () => {
    for (const isSeat of [true, false]) {
      const stage = isSeat ? new Stage() : await inQueue();
      if (isSeat) await stage.join();
      await stage.reconnect();
      stage.socket.tell(refusal({ id: stage.socket.heard("resume").id, code, message: "Words" }));
      assert.deepEqual(over(stage.news()), { code: end, message: "Words", reason: null });
      await stage.clock.pass(100);
      assert.deepEqual([stage.sockets.length, stage.socket.sent, stage.clock.timers.size], [2, [], 0]);
    }
  });
