import assert from "node:assert/strict";
import { test } from "node:test";
import { Meeting, Refusal } from "../roomd.js";
import { changed, FakeSocket, message, person, refusal, ROOM, roomState, settle, Stage } from "./fakes.js";

/** @param {Promise<unknown>} promise @returns {Promise<Refusal>} */
async function refused(promise) {
  const error = await promise.then(() => assert.fail("was not refused"), (error) => error);
  assert.ok(error instanceof Refusal, String(error));
  return error;
}

/** @param {[string, any][]} news @returns {any} */
const over = (news) => news.find(([type]) => type === "over")?.[1];

const RESUMED = { id: undefined, type: "participant", participant: person("me"), resumeToken: "next" };

// Joining.

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
  assert.deepEqual(over(stage.news()), { code: "room_full", reason: "Room is full", said: null });
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

// Tokens.

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
  assert.deepEqual(over(stage.news()), { code: "bad_token", reason: "Token has expired", said: null });
});

test("a token function is asked for every connection, and again when its token is bad", async () => {
  const tokens = ["old", "good", "stale", "fresh"];
  const stage = new Stage({ token: async () => tokens.shift() });
  const joining = stage.ask();
  await settle();
  stage.socket.drop(4401);
  await settle();
  stage.socket.open();
  assert.equal(stage.socket.heard("authenticate").token, "good");
  stage.seat(stage.socket.heard("join-room"));
  await joining;
  assert.equal(stage.clock.timers.size, 1);
  await stage.reconnect();
  const { id, token } = stage.socket.heard("authenticate");
  assert.equal(token, "stale");
  stage.socket.tell(refusal({ id, statusCode: 401, code: "token_expired" }));
  assert.equal(stage.meeting.status, "reconnecting");
  await stage.clock.pass(2);
  stage.socket.open();
  assert.equal(stage.socket.heard("authenticate").token, "fresh");
  assert.equal(stage.socket.heard("resume").resumeToken, "token 4");
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

// Coming back.

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
    ["status", "reconnecting"], ["status", "joined"], ["joined", "eve"], ["left", "bob"], ["message", undefined],
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
  const { id: again, guestName } = stage.socket.heard("join-room");
  assert.equal(guestName, "Jane");
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
  stage.socket.tell(refusal({ id: stage.socket.heard("join-room").id }));
  assert.deepEqual(over(stage.news()), { code: "room_locked", reason: "Room is locked", said: null });
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
  assert.deepEqual(pauses, [0.75, 1.25, 2.25, 4.25, 8.25, 15.25, 15.25, 15.25, 15.25]);
  stage.socket.open();
  stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, roomState(20, [person("me")]));
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
  assert.deepEqual(pauses, [0.75, 1.25, 2.25, 4.25]);
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
  assert.equal(stage.news().at(-1)?.[1].retryIn, 2.25);
});

test("a restart does not count as a failure", async () => {
  const stage = new Stage();
  await stage.join();
  for (const retryIn of [0.75, 1.25, 2.25]) {
    stage.socket.drop();
    await stage.clock.pass(retryIn);
  }
  stage.socket.drop(1012);
  assert.equal(stage.news().at(-1)?.[1].retryIn, 0.75);
});

for (const code of [1013, 4429])
  test(`after close ${code} it is tried later`, async () => {
    const stage = new Stage();
    await stage.join();
    stage.socket.drop(code);
    assert.equal(stage.news().at(-1)?.[1].retryIn, 5);
  });

for (const [code, end] of /** @type {const} */ ([
  [1003, "bad_frame"], [1007, "bad_frame"], [1009, "bad_frame"], [4401, "bad_token"], [4403, "removed"], [4409, "taken_over"],
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
      assert.deepEqual(over(stage.news()), { code: end, reason: "Words", said: null });
      await stage.clock.pass(100);
      assert.deepEqual([stage.sockets.length, stage.socket.sent, stage.clock.timers.size], [2, [], 0]);
    }
  });

test("messages missed are read from where they were heard last, page by page", async () => {
  const stage = new Stage();
  await stage.join({ messages: [message("m1")] });
  await stage.reconnect();
  const state = roomState(20, [person("bob"), person("me")], { messages: [message("m1"), message("m4")] });
  stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, state);
  const first = stage.socket.heard("list-messages");
  assert.deepEqual([first.code, first.cursor], [ROOM.code, "m1"]);
  stage.socket.tell({ type: "message", message: message("m5") });
  stage.socket.tell({ type: "messages", id: first.id, messages: [message("m2", { to: "me" })], nextCursor: "m2" });
  const second = stage.socket.heard("list-messages");
  assert.equal(second.cursor, "m2");
  const rest = [message("m3"), message("m4")];
  stage.socket.tell({ type: "messages", id: second.id, messages: rest, nextCursor: null });
  assert.deepEqual(stage.meeting.messages.map(({ id }) => id), ["m1", "m2", "m3", "m4", "m5"]);
  const told = stage.news().flatMap(([type, { message }]) => (type === "message" ? [message.id] : []));
  assert.deepEqual(told.sort(), ["m2", "m3", "m4", "m5"]);
});

test("a reading of missed messages that is cut off begins anew from where it began", async () => {
  const stage = new Stage();
  await stage.join({ messages: [message("m1")] });
  for (const isCutOff of [true, false]) {
    await stage.reconnect();
    const state = roomState(20, [person("bob"), person("me")], { messages: [message("m1"), message("m3")] });
    stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, state);
    const { id, cursor } = stage.socket.heard("list-messages");
    assert.equal(cursor, "m1");
    if (isCutOff) continue;
    const messages = [message("m2", { to: "me" }), message("m3")];
    stage.socket.tell({ type: "messages", id, messages, nextCursor: null });
  }
  assert.deepEqual(stage.meeting.messages.map(({ id }) => id), ["m1", "m2", "m3"]);
});

/** Answer requests for pages of two messages until the client asks no more. @param {Stage} stage @param {number} last */
function page(stage, last) {
  let pages = 0;
  while (stage.socket.sent.length) {
    const { id, cursor } = stage.socket.heard("list-messages");
    const next = Number(cursor.slice(1)) + 1;
    const messages = [message(`m${next}`), message(`m${next + 1}`)];
    stage.socket.tell({ type: "messages", id, messages, nextCursor: next + 1 < last ? `m${next + 1}` : null });
    pages += 1;
  }
  return pages;
}

test("pages of missed messages may be short: only their cursor says that there are more", async () => {
  const stage = new Stage();
  await stage.join({ messages: [message("m1")] });
  await stage.reconnect();
  const state = roomState(20, [person("me")], { messages: [message("m12"), message("m13")] });
  stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, state);
  assert.equal(page(stage, 13), 6);
  assert.deepEqual(stage.meeting.messages.map(({ id }) => id), Array.from({ length: 13 }, (_, i) => `m${i + 1}`));
  assert.ok(!stage.news().some(([type]) => type === "messages-missed"));
});

test("of more missed messages than are read the newest stay, without a gap, and it is said", async () => {
  const stage = new Stage();
  await stage.join({ messages: [message("m0"), message("m1")] });
  await stage.reconnect();
  const state = roomState(20, [person("me")], { messages: [message("m98"), message("m99")] });
  stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, state);
  stage.socket.tell({ type: "message", message: message("m100") });
  assert.equal(page(stage, 100), 20);
  assert.deepEqual(stage.meeting.messages.map(({ id }) => id), ["m98", "m99", "m100"]);
  assert.deepEqual(stage.news().at(-1), ["messages-missed", { after: "m1", before: "m98" }]);
  await stage.reconnect();
  stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, state);
  assert.equal(stage.socket.heard("list-messages").cursor, "m100");
});

test("missed messages that the server does not give now are asked for later; that it does not give at all, are missed", async () => {
  const stage = new Stage();
  await stage.join({ messages: [message("m1")] });
  await stage.reconnect();
  const state = roomState(20, [person("me")], { messages: [message("m9")] });
  stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, state);
  const { id } = stage.socket.heard("list-messages");
  stage.socket.tell(refusal({ id, statusCode: 429, code: "rate_limited", retryAfter: 2 }));
  await stage.clock.pass(1.9);
  assert.deepEqual(stage.socket.sent, []);
  await stage.clock.pass(0.2);
  const again = stage.socket.heard("list-messages");
  assert.equal(again.cursor, "m1");
  stage.socket.tell(refusal({ id: again.id, statusCode: 500, code: "internal_error" }));
  assert.deepEqual(stage.meeting.messages.map(({ id }) => id), ["m9"]);
  assert.deepEqual(stage.news().at(-1), ["messages-missed", { after: "m1", before: "m9" }]);
});

test("a user who joins finds the private messages of before, and they are no news", async () => {
  const stage = new Stage();
  const joining = stage.ask();
  await settle();
  const { id } = stage.socket.heard("join-room");
  const me = person("me", { userId: "jane", guestName: null });
  stage.socket.tell(
    { type: "participant", id, participant: me, resumeToken: "t" },
    roomState(10, [me], { messages: [message("m1"), message("m3")] }),
  );
  await joining;
  stage.news();
  const history = stage.socket.heard("list-messages");
  assert.equal(history.cursor, "m1");
  const said = [message("m2", { to: "me" }), message("m3")];
  stage.socket.tell({ type: "messages", id: history.id, messages: said, nextCursor: null });
  assert.deepEqual(stage.meeting.messages.map(({ id }) => id), ["m1", "m2", "m3"]);
  assert.deepEqual(stage.told, [["change", {}]]);
});

test("a lobby of which nothing is heard after coming back is empty", async () => {
  const stage = new Stage();
  await stage.join();
  stage.socket.tell({ type: "waiting-changed", waiting: [{ participantId: "eve" }] });
  for (const [isHeard, size] of /** @type {const} */ ([[true, 1], [false, 0]])) {
    await stage.reconnect();
    stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, roomState(20, [person("me")]));
    if (isHeard) stage.socket.tell({ type: "waiting-changed", waiting: [{ participantId: "eve" }] });
    const { id } = stage.socket.heard("list-messages");
    stage.socket.tell({ type: "messages", id, messages: [], nextCursor: null });
    assert.equal(stage.meeting.lobby.length, size);
  }
});

// A network that is dead.

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
  const asked = refused(stage.meeting.say("Hello"));
  await stage.clock.pass(16.9);
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
  assert.equal(stage.news().at(-1)?.[1].retryIn, 1.25);
  stage.socket.dispatchEvent(new Event("error"));
  assert.equal(stage.clock.timers.size, 1);
});

// Gaps.

test("a gap in seq is mended by joining the same room on the same connection", async () => {
  const stage = new Stage();
  await stage.join();
  stage.socket.tell(changed(12, { joined: [person("dan")] }), changed(13, { joined: [person("eve")] }));
  const { id, code, guestName } = stage.socket.heard("join-room");
  assert.deepEqual([code, guestName, stage.socket.sent], [ROOM.code, "Jane", []]);
  assert.deepEqual(stage.news(), []);
  const said = { messages: [message("m60")] };
  stage.socket.tell({ ...RESUMED, id }, roomState(13, [person("bob"), person("me"), person("dan"), person("eve")], said));
  const { id: list, cursor } = stage.socket.heard("list-messages"); // more than a room-state has may be missing
  assert.equal(cursor, null);
  stage.socket.tell({ type: "messages", id: list, messages: [message("m1"), message("m60")], nextCursor: null });
  assert.deepEqual(stage.meeting.messages.map(({ id }) => id), ["m1", "m60"]);
  const news = stage.news().filter(([type]) => type !== "message");
  assert.deepEqual(news.map(([type, { participant }]) => [type, participant.id]), [["joined", "dan"], ["joined", "eve"]]);
  stage.socket.tell(changed(14, { left: [person("eve")] }), changed(16, {}));
  assert.equal(stage.meeting.participants.size, 3);
  stage.socket.heard("join-room");
  await stage.reconnect();
  assert.equal(stage.socket.heard("resume").resumeToken, "next");
});

test("a gap that cannot be mended now is mended by coming back", async () => {
  const stage = new Stage();
  await stage.join();
  stage.socket.tell(changed(12, {}));
  const { id } = stage.socket.heard("join-room");
  stage.socket.tell(refusal({ id, statusCode: 429, code: "rate_limited", retryAfter: 2.5 }));
  assert.deepEqual(stage.news(), [["status", { status: "reconnecting", retryIn: 2.5 }]]);
  await stage.clock.pass(3);
  stage.socket.open();
  stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, roomState(12, [person("me")]));
  assert.equal(stage.meeting.status, "joined");
});

// Waiting.

/** @param {object} [more] */
const waiting = (more) => ({ type: "waiting", participantId: "me", position: 2, reason: "waiting_room", ...more });

/** @param {Partial<import("../roomd.js").Options>} [options] */
async function inQueue(options) {
  const stage = new Stage(options);
  const joining = stage.ask();
  await settle();
  stage.socket.heard("join-room");
  stage.socket.tell(waiting({ id: 1, resumeToken: "place" }));
  await joining;
  assert.equal(stage.meeting.status, "waiting");
  return stage;
}

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
  assert.deepEqual(over(stage.news()), { code: "denied", reason: "The host declined", said: null });
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

// Ends.

test("a host's removal is the end, with the host's words", async () => {
  const stage = new Stage();
  await stage.join();
  stage.socket.tell({ type: "removed", reason: "spam" });
  stage.socket.drop(4403);
  assert.deepEqual(stage.news(), [
    ["status", { status: "over" }],
    ["over", { code: "removed", reason: "spam", said: "spam" }],
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
  assert.deepEqual(stage.news(), [["status", { status: "over" }], ["over", { code: "left", reason: "You left", said: null }]]);
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

// Requests.

test("requests find their replies by id, in whatever order", async () => {
  const stage = new Stage();
  await stage.join();
  const [ice, said] = [stage.meeting.iceServers(), refused(stage.meeting.say("Hi", "nobody"))];
  const [first, second] = [stage.socket.heard("get-ice-servers"), stage.socket.heard("send-message")];
  assert.deepEqual([second.text, second.to], ["Hi", "nobody"]);
  stage.socket.tell(refusal({ id: second.id, statusCode: 404, code: "participant_not_found", retryAfter: 1.5 }));
  stage.socket.tell({ type: "ice-servers", id: first.id, iceServers: [], ttl: 60 }, { type: "ok", id: 99 });
  assert.equal((await ice).ttl, 60);
  assert.deepEqual([(await said).code, (await said).retryAfter], ["participant_not_found", 1.5]);
  assert.equal(stage.meeting.status, "joined");
});

test("every request has the words of the protocol", async () => {
  const stage = new Stage();
  const { meeting } = stage;
  await stage.join();
  const { code } = ROOM;
  meeting.signal("bob", { a: 1 });
  meeting.remove("bob", { ban: true, reason: "spam" });
  meeting.remove("bob");
  meeting.mute("bob");
  meeting.admit("eve");
  meeting.admitAll();
  meeting.deny("eve");
  meeting.updateRoom({ isLocked: true });
  meeting.endRoom();
  meeting.listMessages({ cursor: "m1", limit: 5 });
  meeting.listBans();
  meeting.unban("bob");
  assert.deepEqual(stage.socket.sent.map(({ id, ...frame }) => frame), [
    { type: "signal", to: "bob", data: { a: 1 } },
    { type: "remove-participant", participantId: "bob", ban: true, reason: "spam" },
    { type: "remove-participant", participantId: "bob" },
    { type: "mute-participant", participantId: "bob" },
    { type: "admit-participant", participantId: "eve" },
    { type: "admit-all" },
    { type: "deny-participant", participantId: "eve" },
    { type: "update-room", isLocked: true, code },
    { type: "end-room", code },
    { type: "list-messages", code, cursor: "m1", limit: 5 },
    { type: "list-bans" },
    { type: "unban", userId: "bob" },
  ]); // prettier-ignore
  stage.socket.drop(); // and all of them fail, which is no unhandled rejection
  await settle();
});

test("without a connection a request is refused", async () => {
  const stage = new Stage();
  assert.equal((await refused(stage.meeting.say("Hello"))).code, "disconnected");
  const joining = stage.ask();
  await settle();
  assert.equal((await refused(stage.meeting.say("Hello"))).code, "disconnected");
  stage.seat(stage.socket.heard("join-room"));
  await joining;
  stage.socket.drop();
  assert.equal((await refused(stage.meeting.say("Hello"))).code, "disconnected");
  await stage.meeting.leave();
  assert.equal((await refused(stage.meeting.say("Hello"))).code, "disconnected");
});

test("a frame too long for the server, or that is no JSON, is refused and harms nothing", async () => {
  const stage = new Stage();
  await stage.join();
  assert.equal((await refused(stage.meeting.signal("bob", "ä".repeat(40_000)))).code, "too_long");
  stage.meeting.signal("bob", "a".repeat(60_000));
  await assert.rejects(stage.meeting.signal("bob", 1n), TypeError);
  assert.equal((await refused(stage.meeting.updateState({ long: "a".repeat(70_000) }))).code, "too_long");
  assert.equal(stage.socket.sent.length, 1);
  assert.equal(stage.meeting.status, "joined");
});

test("presence changed without a connection is told with the next one, in one", async () => {
  const stage = new Stage();
  await stage.join();
  const lost = stage.meeting.updateState({ muted: true, handRaised: true });
  await stage.reconnect();
  const later = stage.meeting.updateState({ handRaised: null });
  stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, roomState(20, [person("me")]));
  const { id, state } = stage.socket.heard("update-participant");
  assert.deepEqual(state, { muted: true, handRaised: null });
  stage.socket.tell({ type: "ok", id });
  await Promise.all([lost, later]);
  stage.socket.heard("list-messages");
  await stage.reconnect();
  stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, roomState(20, [person("me")]));
  stage.socket.heard("list-messages");
  const bad = refused(stage.meeting.updateState({ x: "y" }));
  stage.socket.tell(refusal({ id: stage.socket.heard("update-participant").id, statusCode: 400, code: "bad_frame" }));
  assert.equal((await bad).code, "bad_frame");
});

test("presence that can be told no more is refused", async () => {
  const stage = new Stage();
  assert.equal((await refused(stage.meeting.updateState({ muted: true }))).code, "disconnected");
  await stage.join();
  stage.socket.drop();
  const wish = refused(stage.meeting.updateState({ muted: true }));
  await stage.meeting.leave();
  assert.equal((await wish).code, "disconnected");
  await stage.join();
  assert.deepEqual(stage.socket.sent, []);
});

// A server that is broken.

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
  assert.deepEqual(stage.told, [["change", {}]]);
});
