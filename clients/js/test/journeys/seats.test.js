/** Stays that last longer than a seat is held: the daemon holds seats for a second. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { agree, daemon, join, observe, skip, until } from "../support/daemon.js";

const options = { skip, timeout: 300_000 };

test("who was away for too long gets another seat, with the presence of the first", options, async (t) => {
  const { code } = await daemon.room();
  const observer = await observe(t, code);
  await observer();
  const [alice, jane] = [await join(t, code, "alice"), await join(t, code, "Jane")];
  const { id } = jane;
  await jane.meeting.updateState({ muted: true });
  jane.wire.cut({ down: true });
  assert.equal((await alice.next("left")).participant.id, id);
  jane.wire.mend();
  await until(() => jane.meeting.status === "joined");
  assert.notEqual(jane.id, id);
  await until(() => alice.meeting.participants.get(jane.id)?.state.muted);
  await agree(observer, alice, jane);
});

test("who was away for too long from a room that was locked meanwhile is told so", options, async (t) => {
  const { code } = await daemon.room();
  const [alice, jane] = [await join(t, code, "alice"), await join(t, code, "Jane")];
  jane.wire.cut({ down: true });
  await alice.next("left");
  await alice.meeting.updateRoom({ isLocked: true });
  jane.wire.mend();
  assert.equal((await jane.next("over")).code, "room_locked");
});
