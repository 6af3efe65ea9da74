import assert from "node:assert/strict";
import { test } from "node:test";
import { Refusal } from "../../clients/js/src/roomd.js";
import { ending, reconnecting, refusal } from "../../roomd/page/words.js";

test("a removal is told with the host's own words where there are any, whatever these are", () => {
  const reason = "You were removed from this room";
  const { text } = ending("removed", "any words of the client's", null);
  assert.equal(text, "The host removed you from this meeting.");
  assert.equal(ending("removed", reason, reason).text, `${text}\nThey said: “${reason}”`);
});

test("a room that ended by itself is not said to be ended by the host", () => {
  assert.equal(ending("room_ended", "", null).text, "The host ended it for everyone.");
  for (const reason of ["expired", "empty", "deleted"]) assert.doesNotMatch(ending("room_ended", "", reason).text, /host|said/);
});

test("every end has words of its own", () => {
  for (const code of ["left", "room_ended", "removed", "denied", "taken_over", "bad_token", "unreachable"])
    assert.notEqual(ending(code, "").title, "That did not work", code);
  assert.deepEqual(ending("confetti", "No confetti").text, "No confetti");
});

test("a full room says what the server says, and offers to wait once", () => {
  const first = ending("room_full", "Room is full");
  assert.ok(first.text.startsWith("Room is full. "));
  assert.deepEqual(first.actions, ["wait", "back"]);
  const second = ending("room_full", "100 people wait already", null, true);
  assert.equal(second.text, "100 people wait already.");
  assert.deepEqual(second.actions, ["again", "back"]);
});

test("a lost connection has the same words everywhere", () => {
  const lost = refusal(new Refusal(0, "disconnected", "There is no connection to the room"));
  assert.equal(lost, "Connection lost. Try again in a moment.");
  assert.equal(refusal(new TypeError("failed")), lost);
  assert.ok(reconnecting(0).startsWith("Connection lost. "));
  assert.ok(reconnecting(5).startsWith("Connection lost. "));
});
