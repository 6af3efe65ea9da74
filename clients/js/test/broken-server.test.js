/** A server that is broken: answers that are missing or make no sense. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/fakes.js";
import { changed, person, refusal, RESUMED, ROOM, roomState, waiting } from "./support/frames.js";
import { inQueue, refused, Stage } from "./support/stage.js";

test("a seat without a room-state, or no answer to the request for one: the first join rejects", async () => {
  for (const isAnswered of [true, false]) {
    const stage = new Stage({ token: "jwt" });
    const joining = refused(stage.ask());
    await settle();
    stage.socket.tell({ type: "authenticated", id: 1, userId: "jane", expiresAt: "" });
    if (isAnswered) stage.socket.tell({ type: "participant", id: 2, participant: person("me"), resumeToken: "t" });
    await stage.clock.pass(9.9);
    assert.equal(stage.meeting.status, "connecting");
    await stage.clock.pass(0.2);
    assert.equal((await joining).code, "unreachable");
    assert.ok(stage.socket.isLeft);
    assert.equal(stage.clock.timers.size, 0);
  }
});

for (const [name, frame] of /** @type {[string, object | undefined][]} */ ([
  ["without a room-state", undefined],
  ["with one that makes no sense", { type: "room-state", seq: 20, room: ROOM, participants: "everybody" }],
  ["with one of people without ids", { type: "room-state", seq: 20, room: ROOM, participants: [{ id: 1 }] }],
])) // prettier-ignore
  test(`a seat ${name} on coming back, or after waiting, is asked for anew on another connection`, async () => {
    for (const isSeat of [true, false]) {
      const stage = isSeat ? new Stage() : await inQueue();
      if (isSeat) {
        await stage.join();
        await stage.reconnect();
      }
      const id = isSeat ? stage.socket.heard("resume").id : 1;
      stage.socket.tell({ ...RESUMED, id }, ...(frame ? [frame] : []));
      const { length } = stage.sockets;
      await stage.clock.pass(10.1);
      assert.deepEqual([stage.meeting.status, stage.sockets.length], ["reconnecting", length]);
      await stage.clock.pass(3);
      stage.socket.open();
      const again = stage.socket.heard("resume");
      assert.equal(again.resumeToken, "next");
      stage.socket.tell({ ...RESUMED, id: again.id }, roomState(20, [person("me")]));
      assert.equal(stage.meeting.status, "joined");
    }
  });

for (const [retryAfter, retryIn] of /** @type {const} */ ([[1e300, 3600], [4000, 3600], ["9", 0.75], [-5, 0.75], [{}, 0.75], [null, 0.75]]))
  test(`a server that wants to be left alone for ${JSON.stringify(retryAfter)} s is tried again after ${retryIn} s`, async () => {
    const stage = new Stage();
    await stage.join();
    stage.socket.tell({ type: "server-restarting", retryAfter });
    stage.socket.drop(1012);
    assert.equal(stage.news().at(-1)?.[1].retryIn, retryIn);
    await stage.clock.pass(retryIn);
    stage.socket.open();
    stage.socket.tell(refusal({ id: stage.socket.heard("resume").id, statusCode: 503, code: "restarting", retryAfter }));
    assert.equal(stage.news().at(-1)?.[1].retryIn <= 3600, true);
  });

test("an event that makes no sense is a gap, and mended like one", async () => {
  for (const event of [
    { type: "participants-changed", seq: 11, joined: [person("eve")] },
    { type: "participants-changed", seq: 11, joined: [null], updated: [], left: [] },
    changed(11, { left: /** @type {any} */ ("bob") }),
    { type: "room-updated", seq: 11 },
  ]) {
    const stage = new Stage();
    await stage.join();
    stage.socket.tell(event, event);
    assert.deepEqual([stage.meeting.seq, stage.meeting.participants.size], [10, 2]);
    const { id } = stage.socket.heard("join-room");
    stage.socket.tell({ ...RESUMED, id }, event, roomState(11, [person("bob"), person("me"), person("eve")]));
    assert.deepEqual([stage.meeting.seq, stage.meeting.participants.size], [11, 3]);
    stage.socket.heard("list-messages");
    assert.deepEqual(stage.socket.sent, []);
  }
});

test("frames that make no sense are ignored", async () => {
  const stage = new Stage();
  await stage.join();
  for (const data of ["{", "1", "null", "[]", "{}", '{"type":1}', new ArrayBuffer(2)])
    stage.socket.dispatchEvent(new MessageEvent("message", { data }));
  stage.socket.tell({ type: "confetti", seq: 11 }, refusal(), refusal({ id: 77 }), waiting(), { type: "participant", id: 50 });
  stage.socket.tell({ type: "message" }, { type: "message", message: {} }, { type: "waiting-changed" }, { type: "room-state" });
  assert.equal(stage.meeting.status, "joined");
  assert.deepEqual(stage.news(), []);
});

test("every change of the view is followed by one change event", async () => {
  const stage = new Stage();
  await stage.join();
  stage.socket.tell(changed(11, { joined: [person("dan"), person("eve")] }));
  assert.deepEqual(stage.told.map(([type]) => type), ["joined", "joined", "change"]);
  stage.told.length = 0;
  stage.socket.tell(changed(12, { updated: [person("me", { state: { muted: true } })] }));
  assert.deepEqual(stage.told.map(([type]) => type), ["updated", "change"]);
});
