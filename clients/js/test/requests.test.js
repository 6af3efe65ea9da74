/** Requests, their replies, and the own presence. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { settle } from "./support/fakes.js";
import { changed, person, refusal, RESUMED, ROOM, roomState } from "./support/frames.js";
import { refused, Stage } from "./support/stage.js";

test("requests find their replies by id, in whatever order", async () => {
  const stage = new Stage();
  await stage.join();
  const [ice, said] = [stage.meeting.iceServers(), refused(stage.meeting.signal("nobody", "Hi"))];
  const [first, second] = [stage.socket.heard("get-ice-servers"), stage.socket.heard("signal")];
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
  assert.equal((await refused(stage.meeting.iceServers())).code, "disconnected");
  const joining = stage.ask();
  await settle();
  assert.equal((await refused(stage.meeting.iceServers())).code, "disconnected");
  stage.seat(stage.socket.heard("join-room"));
  await joining;
  stage.socket.drop();
  assert.equal((await refused(stage.meeting.iceServers())).code, "disconnected");
  await stage.meeting.leave();
  assert.equal((await refused(stage.meeting.iceServers())).code, "disconnected");
});

test("a request that is not answered fails after 10 seconds, and later ones go on", async () => {
  const stage = new Stage();
  await stage.join();
  const unanswered = refused(stage.meeting.iceServers());
  const { id } = stage.socket.heard("get-ice-servers");
  await stage.clock.pass(9.9);
  const later = stage.meeting.iceServers();
  stage.socket.tell({ type: "ice-servers", id: stage.socket.heard("get-ice-servers").id, iceServers: [], ttl: 60 });
  await later;
  await stage.clock.pass(0.2);
  assert.deepEqual([(await unanswered).code, (await unanswered).statusCode], ["no_answer", 0]);
  stage.socket.heard("ping");
  stage.socket.tell({ type: "ice-servers", id, iceServers: [], ttl: 60 }, { type: "pong" });
  await stage.clock.pass(9);
  assert.deepEqual([stage.meeting.status, stage.clock.timers.size], ["joined", 1]);
});

test("what is no Unicode is replaced in everything that is sent", async () => {
  const stage = new Stage();
  await stage.join();
  /** @type {string[]} */
  const raw = [];
  stage.socket.send = (data) => void raw.push(data);
  const half = "cut emoji \ud83d";
  stage.meeting.say(half);
  stage.meeting.signal("bob", { [half]: [half, "\udca5\ud83d", "whole \ud83d\udca5", "\\ud83d"] });
  stage.meeting.updateState({ mood: half });
  const [said, signal, state] = raw.map((text) => JSON.parse(text));
  assert.ok(raw.every((text) => !/[^\\](\\\\)*\\ud[89a-f]/.test(text)), String(raw));
  assert.equal(said.text, "cut emoji \ufffd");
  assert.deepEqual(signal.data, { "cut emoji \ufffd": ["cut emoji \ufffd", "\ufffd\ufffd", "whole \ud83d\udca5", "\\ud83d"] });
  assert.deepEqual(state.state, { mood: "cut emoji \ufffd" });
});

test("a hold after a clean close is asked for on each connection, whenever it was set", async () => {
  const stage = new Stage();
  await stage.meeting.updateConnection({ hold: 10 });
  await stage.join();
  const { id, hold } = stage.socket.heard("update-connection");
  assert.equal(hold, 10);
  stage.socket.tell({ type: "ok", id });
  const later = stage.meeting.updateConnection({ hold: 5 });
  stage.socket.tell({ type: "ok", id: stage.socket.heard("update-connection").id });
  await later;
  await stage.reconnect();
  stage.socket.tell({ ...RESUMED, id: stage.socket.heard("resume").id }, roomState(20, [person("me")]));
  assert.equal(stage.socket.heard("update-connection").hold, 5);
});

test("hands are seen in the order they went up", async () => {
  const stage = new Stage();
  await stage.join();
  stage.meeting.raiseHand();
  assert.deepEqual(stage.socket.heard("update-participant").state, { handRaised: "@now" });
  stage.meeting.lowerHand();
  assert.deepEqual(stage.socket.heard("update-participant").state, { handRaised: null });
  const at = (/** @type {string} */ time) => ({ state: { handRaised: `2026-03-03T10:${time}.000Z` } });
  const people = [person("a", at("37:02")), person("b", { state: { handRaised: true } }), person("c", at("37:01")), person("d")];
  stage.socket.tell(changed(11, { joined: people }));
  assert.deepEqual(stage.meeting.hands.map(({ id }) => id), ["c", "a", "b"]);
});

for (const link of ["https://meet.example/#abc-def-ghi", " HTTPS://meet.example/rooms/#code=abc-def-ghi&token=x", "http://127.0.0.1:8765/?room=abc-def-ghi", "meet.example/#abc-def-ghi"])
  test(`the code may be a link: ${link}`, async () => {
    const stage = new Stage({ code: link });
    refused(stage.ask());
    await settle();
    assert.equal(stage.socket.heard("join-room").code, "abc-def-ghi");
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
