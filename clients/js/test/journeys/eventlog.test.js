/** A backend that reads the event log of a real daemon, through crashes of the daemon and of its own. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { followLog } from "../../src/roomd.js";
import { daemon, HASTE, join, skip, until } from "../support/daemon.js";

test("every event is read once, over crashes of the daemon and of the reader", { skip, timeout: 100_000 }, async (t) => {
  const { code } = await daemon.room();
  const url = await daemon.url();
  /** @type {string[]} */
  const read = [];
  /** @type {string | null} */
  let position = null;
  /** Read until an event, then stop as a crash would. @param {string} type */
  const readUntil = async (type) => {
    const options = { token: () => daemon.token("alice"), after: position, rooms: [code], clock: HASTE };
    for await (const { events, next } of followLog(url, options)) {
      read.push(...events.map((event) => [event.type, event.participant?.displayName].filter(Boolean).join(" ")));
      position = next;
      if (events.some((event) => event.type === type)) return;
    }
  };
  await readUntil("room-created");
  const jane = await join(t, code, "Jane");
  await readUntil("participant-joined");
  await daemon.crash();
  await readUntil("participant-returned");
  const waiting = readUntil("participant-left");
  await daemon.restart();
  await until(() => jane.meeting.status === "joined");
  await jane.meeting.leave();
  await waiting;
  const [dropped, returned] = ["participant-dropped Jane", "participant-returned Jane"];
  assert.deepEqual(read, [
    "room-created", "participant-joined Jane", dropped, returned, dropped, returned, "participant-left Jane",
  ]); // prettier-ignore
});

test("somebody who is not the host is refused", { skip }, async () => {
  const { code } = await daemon.room();
  const parts = followLog(await daemon.url(), { token: await daemon.token("mallory"), rooms: [code] });
  await assert.rejects(parts.next(), { code: "not_host", statusCode: 403 });
});
