/** The first join, and the token that goes before it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Meeting } from "../src/roomd.js";
import { FakeSocket, settle } from "./support/fakes.js";
import { changed, message, person, refusal, ROOM, roomState } from "./support/frames.js";
import { over, refused, Stage } from "./support/stage.js";

test("a join asks for the room and is done with its state", async () => {
  const stage = new Stage();
  const joining = stage.ask();
  await settle();
  assert.deepEqual(stage.socket.protocols, ["roomd.v1"]);
  const request = stage.socket.heard("join-room");
  assert.deepEqual(request, { type: "join-room", id: 1, code: ROOM.code, guestName: "Jane" });
  assert.equal(stage.meeting.status, "connecting");
  stage.seat(request, { messages: [message("m1")] });
  await joining;
  const { status, me, room, participants, messages, epoch, seq } = stage.meeting;
  assert.deepEqual([status, me?.id, room?.name, [...participants.keys()], messages.length, epoch, seq], [
    "joined", "me", "Weekly", ["bob", "me"], 1, "e", 10,
  ]); // prettier-ignore
  assert.deepEqual(stage.news(), [["status", { status: "connecting" }], ["status", { status: "joined" }]]);
});

test("events that come in one go with the reply find the seat taken", async () => {
  const stage = new Stage();
  const joining = stage.ask();
  await settle();
  const { id } = stage.socket.heard("join-room");
  stage.socket.tell(
    { type: "participant", id, participant: person("me"), resumeToken: "t" },
    roomState(10, [person("me")]),
    changed(11, { joined: [person("eve")] }),
  );
  await joining;
  assert.deepEqual([...stage.meeting.participants.keys()], ["me", "eve"]);
});

test("a join that is refused rejects, and is over", async () => {
  const stage = new Stage();
  const joining = refused(stage.ask());
  await settle();
  stage.socket.tell(refusal({ id: 1, statusCode: 400, code: "room_full", message: "Room is full" }));
  const { statusCode, code, message, retryAfter } = await joining;
  assert.deepEqual([statusCode, code, message, retryAfter], [400, "room_full", "Room is full", null]);
  assert.deepEqual(over(stage.news()), { code: "room_full", message: "Room is full", reason: null });
  assert.equal(stage.meeting.status, "over");
  assert.ok(stage.socket.isLeft);
});

for (const [name, end] of /** @type {[string, (stage: Stage) => void | Promise<void>][]} */ ([
  ["is not there", (stage) => stage.socket.drop()],
  ["does not answer the handshake", (stage) => stage.clock.pass(10)],
  ["does not answer the request", (stage) => (stage.socket.open(), stage.clock.pass(10))],
]))
  test(`a first join to a server that ${name} rejects`, async () => {
    const stage = new Stage();
    const joining = refused(stage.meeting.join());
    await settle();
    await end(stage);
    assert.equal((await joining).code, "unreachable");
    assert.match((await joining).message, /^The server (could not be reached|does not answer)$/);
    assert.equal(over(stage.news()).code, "unreachable");
    assert.equal(stage.clock.timers.size, 0);
  });

test("without any WebSocket, or with a URL that is none, a join rejects", async () => {
  const { WebSocket } = globalThis;
  Reflect.deleteProperty(globalThis, "WebSocket");
  try {
    const error = await refused(new Meeting("ws://server/ws", { code: ROOM.code }).join());
    assert.match(error.message, /option WebSocket/);
  } finally {
    if (WebSocket) globalThis.WebSocket = WebSocket;
  }
  class Picky extends FakeSocket {
    /** @param {string} url @param {string[]} protocols */
    constructor(url, protocols) {
      super(url, protocols);
      throw new SyntaxError("not a URL");
    }
  }
  assert.equal((await refused(new Meeting("?", { code: "x", WebSocket: Picky }).join())).message, "not a URL");
});

test("a second join() while one is under way is the same one; after the end it begins anew", async () => {
  const stage = new Stage();
  const first = stage.meeting.join();
  assert.equal(stage.meeting.join(), first);
  await settle();
  stage.socket.drop();
  await refused(first);
  await stage.join();
  assert.equal(stage.meeting.status, "joined");
  await stage.meeting.join();
  assert.equal(stage.sockets.length, 2);
  stage.socket.drop(4403);
  assert.equal(stage.meeting.participants.size, 2);
  stage.meeting.join();
  assert.deepEqual([stage.meeting.participants.size, stage.meeting.room, stage.meeting.seq], [0, null, 0]);
});

test("a token goes before the join, in one go", async () => {
  const stage = new Stage({ token: "jwt", guestName: undefined });
  const joining = stage.ask();
  await settle();
  assert.deepEqual(stage.socket.heard("authenticate"), { type: "authenticate", id: 1, token: "jwt" });
  stage.socket.tell({ type: "authenticated", id: 1, userId: "jane", expiresAt: "" });
  stage.seat(stage.socket.heard("join-room"));
  await joining;
});

test("a bad token is the end", async () => {
  const stage = new Stage({ token: "bad" });
  const joining = refused(stage.ask());
  await settle();
  stage.socket.tell(refusal({ id: 1, statusCode: 401, code: "token_expired", message: "Token has expired" }));
  assert.equal((await joining).code, "token_expired");
  assert.deepEqual(over(stage.news()), { code: "bad_token", message: "Token has expired", reason: null });
});

test("a token function is asked again when its token is bad", async () => {
  const tokens = ["old", "good"];
  const stage = new Stage({ token: async () => tokens.shift() });
  const joining = stage.ask();
  await settle();
  stage.socket.drop(4401);
  await settle();
  stage.socket.open();
  assert.equal(stage.socket.heard("authenticate").token, "good");
  stage.seat(stage.socket.heard("join-room"));
  await joining;
});

test("a token function that has no other token is the end", async () => {
  const stage = new Stage({ token: () => "same" });
  const joining = refused(stage.ask());
  await settle();
  stage.socket.drop(4401);
  assert.equal((await joining).statusCode, 401);
  assert.equal(stage.sockets.length, 1);
  assert.equal(over(stage.news()).code, "bad_token");
  stage.meeting.join();
  await settle();
  assert.equal(stage.sockets.length, 2);
});

test("tokens that are new and bad again and again are the end", async () => {
  let n = 0;
  const stage = new Stage({ token: () => `bad ${n++}` });
  const joining = refused(stage.meeting.join());
  for (let i = 0; i < 3; i++) {
    await settle();
    stage.socket.drop(4401);
  }
  assert.equal((await joining).statusCode, 401);
  assert.equal(stage.sockets.length, 3);
});

test("a token function that fails or never ends: the first join rejects, later it is tried again", async () => {
  let fails = true;
  const never = new Promise(() => {});
  const stage = new Stage({ token: () => (fails ? Promise.reject(new Error("no network")) : never) });
  assert.equal((await refused(stage.meeting.join())).message, "no network");
  fails = false;
  const joining = refused(stage.meeting.join());
  await settle();
  await stage.clock.pass(20);
  assert.equal((await joining).code, "unreachable");
  assert.equal(stage.sockets.length, 0);
});
