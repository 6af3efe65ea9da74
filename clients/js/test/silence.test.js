/** A network that is dead: silence, pings, and what the browser reports. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/fakes.js";
import { changed, person } from "./support/frames.js";
import { refused, Stage } from "./support/stage.js";

test("after silence the server is pinged; one that answers is left alone", async () => {
  const stage = new Stage();
  await stage.join();
  await stage.clock.pass(8);
  stage.socket.tell(changed(11, {}));
  await stage.clock.pass(11);
  assert.equal(stage.socket.sent.length, 0);
  await stage.clock.pass(2);
  stage.socket.heard("ping");
  stage.socket.tell({ type: "pong" });
  await stage.clock.pass(10);
  assert.equal(stage.meeting.status, "joined");
  assert.equal(stage.socket.sent.length, 0);
});

test("one that does not answer is given up", async () => {
  const stage = new Stage();
  const socket = await stage.join();
  await stage.clock.pass(16);
  const asked = refused(stage.meeting.iceServers());
  await stage.clock.pass(0.9);
  assert.equal(stage.meeting.status, "joined");
  await stage.clock.pass(0.2);
  assert.equal(stage.meeting.status, "reconnecting");
  assert.ok(socket.isLeft);
  assert.equal((await asked).code, "disconnected");
  socket.tell(changed(11, { left: [person("bob")] }));
  socket.drop(4403);
  assert.equal(stage.meeting.participants.size, 2);
  assert.equal(stage.meeting.status, "reconnecting");
  assert.equal(stage.clock.timers.size, 1);
});

test("what was on its way when the ping went is no answer, but buys time", async () => {
  const stage = new Stage();
  await stage.join();
  stage.window.dispatchEvent(new Event("offline"));
  await stage.clock.pass(2);
  stage.socket.tell(changed(11, {}));
  await stage.clock.pass(2.9);
  assert.equal(stage.meeting.status, "joined");
  await stage.clock.pass(0.2);
  assert.equal(stage.meeting.status, "reconnecting");
});

for (const hint of ["online", "offline"])
  test(`"${hint}" makes it look at once`, async () => {
    const stage = new Stage();
    await stage.join();
    stage.window.dispatchEvent(new Event(hint));
    stage.window.dispatchEvent(new Event(hint));
    stage.socket.heard("ping");
    assert.equal(stage.socket.sent.length, 0);
    await stage.clock.pass(3.1);
    assert.equal(stage.meeting.status, "reconnecting");
  });

for (const isTold of [false, true])
  test(`a hint while a ping is on its way shortens the wait${isTold ? ", also after what was on its way" : ""}`, async () => {
    const stage = new Stage();
    await stage.join();
    await stage.clock.pass(12.1);
    stage.window.dispatchEvent(new Event("offline"));
    await stage.clock.pass(2.9);
    if (isTold) {
      stage.socket.tell(changed(11, {}));
      await stage.clock.pass(2.9);
    }
    assert.equal(stage.meeting.status, "joined");
    await stage.clock.pass(0.2);
    assert.equal(stage.meeting.status, "reconnecting");
  });

for (const [hint, target] of /** @type {const} */ ([["online", "window"], ["visibilitychange", "document"]]))
  test(`"${hint}" ends the pause before the next attempt`, async () => {
    const stage = new Stage();
    await stage.join();
    stage.socket.drop();
    stage[target].dispatchEvent(new Event(hint));
    await settle();
    assert.equal(stage.sockets.length, 2);
    await stage.clock.pass(5);
    assert.equal(stage.sockets.length, 2);
  });

test('"online" restarts an attempt that began without a network', async () => {
  const stage = new Stage();
  await stage.join();
  stage.socket.drop();
  await stage.clock.pass(1);
  stage.window.dispatchEvent(new Event("online"));
  await settle();
  assert.equal(stage.sockets.length, 3);
  assert.ok(stage.sockets[1]?.isLeft);
  stage.sockets[1]?.open();
  assert.deepEqual([stage.sockets[1]?.sent, stage.clock.timers.size], [[], 1]);
});

test("a page that is looked at again asks whether the connection lives, when it has heard nothing for a while", async () => {
  const stage = new Stage();
  await stage.join();
  stage.document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(stage.socket.sent.length, 0);
  await stage.clock.pass(4);
  stage.document.visibilityState = "hidden";
  stage.document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(stage.socket.sent.length, 0);
  stage.document.visibilityState = "visible";
  stage.document.dispatchEvent(new Event("visibilitychange"));
  stage.socket.heard("ping");
});

test("a handshake that fails without a close is noticed", async () => {
  const stage = new Stage();
  await stage.join();
  stage.socket.drop();
  await stage.clock.pass(1);
  stage.socket.dispatchEvent(new Event("error"));
  await stage.clock.pass(0.2);
  assert.equal(stage.news().at(-1)?.[1].retryIn, 1.5);
  stage.socket.dispatchEvent(new Event("error"));
  assert.equal(stage.clock.timers.size, 1);
});
