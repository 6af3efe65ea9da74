/** The vectors of `clients/vectors`, which the Python client passes too. Its README describes the format. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Refusal } from "../src/errors.js";
import { ReconnectPolicy } from "../src/reconnect.js";
import { View } from "../src/roomd.js";

/** @import { News } from "../src/roomd.js" */
/** @import { End } from "../src/reconnect.js" */

/** @param {string} name */
const load = (name) => JSON.parse(readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), "utf8"));
const view = load("view");
const reconnect = load("reconnect");

/** Write abbreviations out. @param {any} value @returns {any} */
function expand(value) {
  if (Array.isArray(value)) return value.flatMap((item) => expandRange(expand(item)));
  if (value === null || typeof value !== "object") return value;
  const { use, ...changes } = value;
  const fields = Object.entries(changes).map(([key, item]) => [key, expand(item)]);
  return { ...(use ? view.objects[use] : {}), ...Object.fromEntries(fields) };
}

/** List what an item of a list stands for. @param {any} item @returns {any[]} */
function expandRange(item) {
  const range = typeof item === "string" && /^([a-z]+)(\d+)\.\.\1(\d+)$/.exec(item);
  if (range) {
    const [, prefix, first, last] = range;
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => `${prefix}${Number(first) + i}`);
  }
  return typeof item?.id === "string" ? expandRange(item.id).map((id) => ({ ...item, id })) : [item];
}

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
      assert.equal(policy.refuses(token), visit.end === null, JSON.stringify(visit));
      if (visit.lasted !== undefined) {
        policy.arrived();
        now += visit.lasted * 1000;
      }
      const verdict = policy.after(ended(visit.end), token);
      assert.equal(typeof verdict === "number" ? verdict : verdict.code, visit.over ?? visit.delay, JSON.stringify(visit));
      now += (visit.delay ?? 0) * 1000;
    }
  });
