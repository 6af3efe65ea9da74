import assert from "node:assert/strict";
import { test } from "node:test";
import { View } from "../src/roomd.js";
import { changed, message, person, ROOM, roomState } from "./support/frames.js";

/** @param {string} id */
const seat = (id) => ({ type: "participant", id: 1, participant: person(id), resumeToken: "t" });

/** @param {import("../src/roomd.js").Message[]} messages */
const page = (messages) => ({ type: "messages", id: "catch-up", messages, nextCursor: null });

/** @param {object} [state] */
function joined(state) {
  const view = new View();
  assert.deepEqual(view.apply(seat("me")), []);
  assert.deepEqual(view.apply(roomState(10, [person("bob"), person("me")], state)), []);
  return view;
}

/** @param {import("../src/roomd.js").News[]} news @returns {string[]} */
const names = (news) =>
  news.map(({ type, detail }) => {
    if ("participant" in detail) return `${type} ${detail.participant.id}`;
    return type === "message" ? `${type} ${detail.message.id}` : type;
  });

test("a first room-state is no news: it is what there is", () => {
  const view = joined({ messages: [message("m1")] });
  assert.deepEqual([...view.participants.keys()], ["bob", "me"]);
  assert.deepEqual(view.messages, [message("m1")]);
  assert.deepEqual([view.epoch, view.seq, view.me?.id, view.room?.participantCount], ["e", 10, "me", 2]);
});

test("changes are told one by one and keep the order of the room", () => {
  const view = joined();
  const news = view.apply(
    changed(11, { joined: [person("eve"), person("dan")], updated: [person("bob", { isActive: false })] }),
  );
  assert.deepEqual(names(news), ["joined eve", "joined dan", "updated bob"]);
  assert.deepEqual([...view.participants.keys()], ["bob", "me", "eve", "dan"]);
  assert.equal(view.room?.participantCount, 4);
  assert.deepEqual(names(view.apply(changed(12, { left: [person("bob")] }))), ["left bob"]);
  assert.deepEqual([...view.participants.keys()], ["me", "eve", "dan"]);
});

test("who came is told first, then who changed, then who left: at once, and after having been away", () => {
  const people = [person("bob", { isActive: false }), person("me"), person("eve"), person("fay")];
  const lists = { joined: [person("fay")], updated: [person("bob", { isActive: false })], left: [person("dan")] };
  for (const news of [changed(11, lists), roomState(11, people)]) {
    const view = new View();
    view.apply(seat("me"));
    view.apply(roomState(10, [person("bob"), person("me"), person("dan"), person("eve")]));
    assert.deepEqual(names(view.apply(news)), ["joined fay", "updated bob", "left dan", ...(news.type === "room-state" ? ["replaced"] : [])]);
    assert.deepEqual([...view.participants.keys()], ["bob", "me", "eve", "fay"]);
  }
});

test("a client tells of its own changes too, and keeps itself current", () => {
  const view = joined();
  const state = { muted: true };
  assert.deepEqual(names(view.apply(changed(11, { updated: [person("me", { state })] }))), ["updated me"]);
  assert.deepEqual(view.me?.state, state);
});

test("a collection that was handed out never changes", () => {
  const view = joined();
  const { participants, messages } = view;
  view.apply(changed(11, { left: [person("bob")] }));
  view.apply({ type: "message", message: message("m1") });
  assert.equal(participants.size, 2);
  assert.equal(messages.length, 0);
});

test("an event that was heard before changes nothing", () => {
  const view = joined();
  assert.deepEqual(view.apply(changed(10, { left: [person("bob")] })), []);
  assert.equal(view.participants.size, 2);
  assert.equal(view.isStale, false);
});

test("after a gap nothing is believed but a room-state, which tells what was missed", () => {
  const view = joined();
  assert.deepEqual(view.apply(changed(12, { joined: [person("eve")] })), []);
  assert.equal(view.isStale, true);
  assert.deepEqual(view.apply(changed(13, { joined: [person("dan")] })), []);
  assert.equal(view.seq, 10);
  const room = { ...ROOM, isLocked: true, participantCount: 3 };
  const news = view.apply(roomState(13, [person("me"), person("eve"), person("dan")], { room, messages: [message("m1")] }));
  assert.deepEqual(names(news), ["joined eve", "joined dan", "left bob", "room", "replaced"]);
  assert.deepEqual(names(view.apply(page([message("m1")]))), ["message m1"]);
  assert.equal(view.isStale, false);
  assert.deepEqual(names(view.apply(changed(14, { left: [person("eve")] }))), ["left eve"]);
});

test("a number of participants is no change of the room", () => {
  const view = joined();
  assert.deepEqual(names(view.apply(roomState(11, [person("me")]))), ["left bob", "replaced"]);
});

test("changed settings are told", () => {
  const view = joined();
  const room = { ...ROOM, isLocked: true, participantCount: 2 };
  assert.deepEqual(view.apply({ type: "room-updated", seq: 11, room }), [{ type: "room", detail: { room } }]);
  assert.equal(view.room?.isLocked, true);
});

test("a message is kept once, and the last 500", () => {
  const view = joined();
  for (let i = 0; i < 600; i++) view.apply({ type: "message", message: message(`m${i}`) });
  assert.deepEqual(view.apply({ type: "message", message: message("m599") }), []);
  assert.equal(view.messages.length, 500);
  assert.equal(view.messages[0]?.id, "m100");
});

test("what was said meanwhile comes in its place, private messages too", () => {
  const view = joined({ messages: [message("m1")] });
  view.drop();
  assert.deepEqual(view.apply(roomState(20, [person("bob"), person("me")], { messages: [message("m1"), message("m3")] })), []);
  assert.deepEqual(view.apply({ type: "message", message: message("m4") }), []);
  assert.deepEqual(names(view.apply(page([message("m2", { to: "me" }), message("m3")]))), ["message m2", "message m3", "message m4"]);
  assert.deepEqual(view.messages.map(({ id }) => id), ["m1", "m2", "m3", "m4"]);
});

test("once the meeting is over nothing changes, and the first reason counts", () => {
  const view = joined();
  view.apply({ type: "removed", reason: "spam" });
  assert.deepEqual(view.apply(changed(11, { joined: [person("eve")] })), []);
  view.drop();
  view.finish({ code: "left", message: "", reason: null });
  assert.deepEqual([view.status, view.over?.code, view.participants.size], ["over", "removed", 2]);
});

test("a seat that is given up is the end", () => {
  const view = joined();
  view.apply({ ...seat("me"), participant: person("me", { leftAt: "2026-03-03T10:40:00.000Z" }) });
  assert.deepEqual([view.status, view.over?.code], ["over", "left"]);
});

test("who waits hears of place and reason, once each", () => {
  const view = new View();
  const frame = { type: "waiting", id: 1, participantId: "me", position: 2, reason: "room_full" };
  const { type, id, ...place } = frame;
  assert.deepEqual(view.apply(frame), [{ type: "place", detail: { place } }]);
  assert.deepEqual(view.apply(frame), []);
  assert.deepEqual(view.place, place);
  view.apply(seat("me"));
  view.apply(roomState(10, [person("me")]));
  assert.equal(view.place, null);
});

test("who must wait again sees nothing of the room", () => {
  const view = joined();
  view.drop();
  view.apply({ type: "waiting", id: 2, participantId: "other", position: 1, reason: "waiting_room" });
  assert.deepEqual([view.room, view.me, view.participants.size], [null, null, 0]);
});

test("signals, requests to mute and the lobby are passed on; unknown events are not", () => {
  const view = joined();
  const detail = { from: "bob", data: 1 };
  assert.deepEqual(view.apply({ type: "signal", ...detail }), [{ type: "signal", detail }]);
  assert.deepEqual(view.apply({ type: "mute-requested" }), [{ type: "mute-requested", detail: {} }]);
  assert.deepEqual(names(view.apply({ type: "waiting-changed", waiting: [{ participantId: "eve" }] })), ["lobby"]);
  assert.deepEqual(view.apply({ type: "waiting-changed", waiting: [{ participantId: "eve" }] }), []);
  assert.deepEqual(view.apply({ type: "confetti", seq: 11 }), []);
});
