/** What was missed: messages that are read later, and events that are missing. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/fakes.js";
import { changed, message, person, refusal, RESUMED, ROOM, roomState } from "./support/frames.js";
import { Stage } from "./support/stage.js";

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
  assert.deepEqual(told, ["m2", "m3", "m4", "m5"]);
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
  assert.equal(page(stage, 100), 11); // ten from the start of the gap, then one from what the room-state showed
  assert.deepEqual(stage.meeting.messages.map(({ id }) => id), ["m98", "m99", "m100"]);
  const told = stage.news().filter(([type]) => type.startsWith("message"));
  assert.deepEqual(told[0], ["messages-missed", { after: "m1", before: "m98" }]);
  assert.deepEqual(told.slice(1).map(([, { message }]) => message.id), ["m98", "m99", "m100"]);
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
  assert.deepEqual(stage.news().slice(-2), [
    ["messages-missed", { after: "m1", before: "m9" }],
    ["message", { message: message("m9") }],
  ]);
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
  assert.deepEqual(news.map(([type, { participant }]) => [type, participant?.id]), [
    ["joined", "dan"], ["joined", "eve"], ["replaced", undefined],
  ]); // prettier-ignore
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
