/** Waiting for the host, or for a seat. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/fakes.js";
import { refusal, waiting } from "./support/frames.js";
import { inQueue, over, refused, Stage } from "./support/stage.js";

test("waiting is an answer to the join; the seat comes under its id", async () => {
  const stage = await inQueue();
  assert.deepEqual(stage.meeting.place, { participantId: "me", position: 2, reason: "waiting_room" });
  stage.news();
  stage.socket.tell(waiting({ position: 1, reason: "room_full" }));
  const place = { participantId: "me", position: 1, reason: "room_full" };
  assert.deepEqual(stage.news(), [["place", { place }]]);
  stage.seat({ type: "join-room", id: 1 });
  assert.deepEqual(stage.news(), [["status", { status: "joined" }]]);
  assert.deepEqual([stage.meeting.me?.id, stage.meeting.place], ["me", null]);
});

test("to wait for a seat is asked for", async () => {
  const stage = new Stage({ wait: true });
  refused(stage.ask());
  await settle();
  assert.equal(stage.socket.heard("join-room").wait, true);
});

test("a denial under the id of the join is the end", async () => {
  const stage = await inQueue();
  stage.socket.tell(refusal({ id: 1, code: "denied", message: "The host declined" }));
  assert.deepEqual(over(stage.news()), { code: "denied", message: "The host declined", reason: null });
});

test("a place in the queue is taken back; whatever becomes of it may come under the old id or the new", async () => {
  for (const isOld of [true, false])
    for (const isLetIn of [true, false]) {
      const stage = await inQueue();
      await stage.reconnect();
      const { id, resumeToken } = stage.socket.heard("resume");
      assert.equal(resumeToken, "place");
      stage.socket.tell(waiting({ id, position: 1, resumeToken: "place 2" }));
      assert.equal(stage.meeting.status, "waiting");
      const under = { type: "join-room", id: isOld ? 1 : id };
      if (isLetIn) stage.seat(under);
      else stage.socket.tell(refusal({ id: under.id, code: "denied" }));
      assert.equal(stage.meeting.status, isLetIn ? "joined" : "over");
    }
});

test("a place that became a seat meanwhile", async () => {
  const stage = await inQueue();
  await stage.reconnect();
  stage.seat(stage.socket.heard("resume"));
  assert.equal(stage.meeting.status, "joined");
});
