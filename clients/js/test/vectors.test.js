/** The vectors of `clients/vectors`, which the Python client passes too. Its README describes the format. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Refusal } from "../src/errors.js";
import { ReconnectPolicy } from "../src/reconnect.js";
import { View } from "../src/roomd.js";
import { expander, expandRange, load } from "./support/vectors.js";

/** @import { News } from "../src/roomd.js" */
/** @import { End } from "../src/reconnect.js" */

const view = load("view");
const reconnect = load("reconnect");
const expand = expander(view.objects);

/** @param {any[][]} events */
const expandEvents = (events) =>
  events.flatMap((event) => expandRange(event.at(-1)).map((last) => [...event.slice(0, -1), last]));

/** Write an event as the vectors have it; none for one that only this client has. @param {News} news @returns {any[][]} */
function asData({ type, detail }) {
  switch (type) {
    case "joined":
    case "updated":
    case "left":
      return [[type, detail.participant.id]];
    case "message":
      return [[type, detail.message.id]];
    case "messages-missed":
      return [["skipped", detail.after, detail.before]];
    case "place":
      return [[type, detail.place.position, detail.place.reason]];
    case "lobby":
      return [[type, detail.waiting.map(({ participantId }) => participantId)]];
    case "signal":
      return [[type, detail.from, detail.data]];
    case "room":
    case "mute-requested":
    case "replaced":
      return [[type]];
    default:
      return [];
  }
}

/** What a view shows, as the vectors have it. @param {View} one @returns {Record<string, unknown>} */
const seen = (one) => ({
  status: one.status,
  me: one.me?.id ?? null,
  room: one.room,
  participants: [...one.participants.values()],
  messages: one.messages.map(({ id }) => id),
  lobby: one.lobby.map(({ participantId }) => participantId),
  place: one.place,
  isStale: one.isStale,
  resumeToken: one.resumeToken,
  missed: one.missed && { cursor: one.missed.request("abc-def-ghi").cursor, delay: one.missed.delay },
  over: one.over && { code: one.over.code, reason: one.over.reason },
});

for (const { what, steps } of view.vectors)
  test(what, () => {
    const one = new View();
    for (const step of steps) {
      /** @type {News[]} */
      const news = step.frame ? one.apply(expand(step.frame)) : [];
      if (step.asked && one.missed) one.missed.isAsked = true;
      if (step.drop) one.drop();
      if (step.seatExpired) one.forgetSeat();
      assert.deepEqual(news.flatMap(asData), expandEvents(step.events ?? []), JSON.stringify(step));
      const shown = seen(one);
      for (const [key, value] of Object.entries(step.view ?? {}))
        assert.deepEqual(shown[key], expand(value), `${key} after ${JSON.stringify(step)}`);
    }
  });

/** How a visit ended, as the client has it. @param {any} end @returns {End} */
function ended(end) {
  if (end === "unreachable") return { unreachable: "no answer" };
  if (end?.close) return end;
  const { statusCode, code, retryAfter } = end?.error ?? { statusCode: 401, code: "invalid_token" };
  return { refusal: new Refusal(statusCode, code, "No", retryAfter ?? null) };
}

for (const { what, hasTokenFunction, visits } of reconnect.vectors)
  test(what, () => {
    let now = 1_000_000;
    /** @type {any} */
    let visit;
    const random = () => {
      assert.notEqual(visit.draw, undefined, "no random number is needed");
      return visit.draw;
    };
    const policy = new ReconnectPolicy(random, () => now, hasTokenFunction);
    for (visit of visits) {
      const token = visit.token ?? null;
      if (!visit.canResume) assert.equal(policy.refuses(token), visit.end === null, JSON.stringify(visit));
      if (visit.authenticates !== undefined)
        assert.equal(policy.mayAuthenticate(token), visit.authenticates, JSON.stringify(visit));
      if (visit.lasted !== undefined) {
        policy.arrived();
        if (!visit.canResume || visit.authenticates) policy.accepted();
        now += visit.lasted * 1000;
      }
      const verdict = policy.after(ended(visit.end), token, visit.canResume ?? false);
      assert.equal(typeof verdict === "number" ? verdict : verdict.code, visit.over ?? visit.delay, JSON.stringify(visit));
      now += (visit.delay ?? 0) * 1000;
    }
  });
