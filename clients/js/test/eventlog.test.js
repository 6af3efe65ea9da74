/** The event log: what is asked for, when again, and what ends it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { followLog } from "../src/roomd.js";
import { FakeClock, settle } from "./support/fakes.js";
import { refused } from "./support/stage.js";

/** @import { LogOptions, LogPart } from "../src/roomd.js" */

/** @param {object} claims */
const jwt = (claims) => `head.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.sign`;
/** @param {number} number */
const event = (number) => ({ id: `e${number}`, position: `p${number}`, type: "participant-joined" });

/** A server that answers as the test says, and a reader of its log. */
class Stage {
  clock = new FakeClock();
  /** What was asked for: the path with its parameters, and the token. @type {[string, string | null][]} */
  asked = [];
  /** @type {{resolve: (response: Response) => void, reject: (error: Error) => void}[]} */
  #waiting = [];

  /** @param {Partial<LogOptions>} [options] */
  constructor(options) {
    const fetch = (/** @type {URL} */ url, /** @type {{headers: any, signal: AbortSignal}} */ { headers, signal }) => {
      this.asked.push([`${url.origin}${url.pathname}${url.search}`, headers.Authorization ?? null]);
      return new Promise((resolve, reject) => {
        const waiting = { resolve, reject };
        this.#waiting.push(waiting);
        signal.addEventListener("abort", () => {
          this.#waiting = this.#waiting.filter((one) => one !== waiting);
          reject(new Error("aborted"));
        });
      });
    };
    const parts = { clock: this.clock, random: () => 0, fetch: /** @type {any} */ (fetch) };
    this.parts = followLog("wss://server/base/ws", { token: "t", ...parts, ...options });
  }

  /** Answer the request that waits. @param {number} status @param {unknown} body @param {Record<string, string>} [headers] */
  async answer(status, body, headers) {
    await settle();
    this.#waiting.shift()?.resolve(new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers }));
    await settle();
  }

  async fail() {
    await settle();
    this.#waiting.shift()?.reject(new Error("fetch failed"));
    await settle();
  }

  /** @returns {Promise<LogPart | undefined>} */
  async next() {
    const { value } = await this.parts.next();
    return value ?? undefined;
  }
}

test("the log is read part after part, each when the one before was taken", async () => {
  const stage = new Stage({ after: "p0", rooms: ["abc-def-ghi", "jkl-mno-pqr"] });
  let part = stage.next();
  await stage.answer(200, { events: [event(1)], next: "p1" });
  assert.deepEqual(await part, { events: [event(1)], next: "p1" });
  await settle();
  assert.equal(stage.asked.length, 1);
  part = stage.next();
  await stage.answer(200, { events: [], next: "p1" }); // nothing for 25 seconds
  await stage.answer(200, { events: [], next: "p9" }); // events of other rooms
  assert.deepEqual(await part, { events: [], next: "p9" });
  const parameters = (/** @type {string} */ after) =>
    `https://server/base/api/v1/events?limit=1000&wait=25&after=${after}&room=abc-def-ghi&room=jkl-mno-pqr`;
  assert.deepEqual(stage.asked, [
    [parameters("p0"), "Bearer t"],
    [parameters("p1"), "Bearer t"],
    [parameters("p1"), "Bearer t"],
  ]);
  assert.equal(stage.clock.timers.size, 0);
});

/** @type {[string, (stage: Stage) => Promise<void>, number, string][]} */
const LATER = [
  ["cannot be reached", (stage) => stage.fail(), 0.5, "fetch failed"],
  ["does not answer", (stage) => settle().then(() => stage.clock.pass(35)), 0.5, "aborted"],
  ["is behind a proxy that cannot reach it", (stage) => stage.answer(502, "<html>"), 0.5, "is not valid JSON"],
  ["answers with something else", (stage) => stage.answer(200, "<html>"), 0.5, "is not valid JSON"],
  ["restarts", (stage) => stage.answer(503, { code: "restarting", message: "Restarting", statusCode: 503, retryAfter: 3 }), 3, "Restarting"],
  ["is asked too often", (stage) => stage.answer(429, "{}", { "Retry-After": "7" }), 7, "not that of roomd"],
]; // prettier-ignore
for (const [name, happens, delay, reason] of LATER)
  test(`a server that ${name} is asked again, at first and later`, async () => {
    /** @type {any[]} */
    const retries = [];
    const stage = new Stage({ onRetry: (retry) => void retries.push(retry) });
    for (const number of [1, 2]) {
      const part = stage.next();
      await happens(stage);
      await stage.clock.pass(delay - 0.01);
      assert.equal(stage.asked.length, 2 * number - 1);
      await stage.clock.pass(20);
      await stage.answer(200, { events: [event(number)], next: `p${number}` });
      assert.deepEqual((await part)?.events, [event(number)]);
      assert.match(retries.at(-1).reason, new RegExp(reason));
      await stage.clock.pass(10); // a visit that lasted: the delay is the first one again
    }
    assert.deepEqual(retries.map((retry) => retry.delay), [delay, delay]); // prettier-ignore
    assert.match(stage.asked[3]?.[0] ?? "", /after=p1/);
  });

test("events that are missing end it, with the position to go on from", async () => {
  const stage = new Stage({ after: "p0" });
  const part = refused(stage.next());
  await stage.answer(410, { statusCode: 410, code: "position_expired", message: "Read on", oldest: "p7" });
  const { statusCode, code, oldest } = await part;
  assert.deepEqual([statusCode, code, oldest], [410, "position_expired", "p7"]);
  assert.equal((await stage.parts.next()).done, true);
});

test("what is no roomd ends it", async () => {
  const stage = new Stage();
  const part = refused(stage.next());
  await stage.answer(404, "Not found");
  assert.equal((await part).code, "http_404");
});

test("a token function is asked when its token has expired, or was refused", async () => {
  const now = Date.now() / 1000;
  const tokens = [{ exp: now + 60, n: 1 }, { exp: now - 1, n: 2 }, { exp: now + 60, n: 3 }, { exp: now + 60, n: 4 }].map(jwt); // prettier-ignore
  const given = [...tokens];
  const stage = new Stage({ token: () => given.shift() });
  /** @param {Promise<any>} part @param {number} number */
  const take = async (part, number) => {
    await stage.answer(200, { events: [event(number)], next: `p${number}` });
    await part;
  };
  await take(stage.next(), 1);
  await take(stage.next(), 2); // the same token
  const part = stage.next();
  await stage.answer(401, { statusCode: 401, code: "token_expired", message: "Token has expired" });
  await stage.clock.pass(1); // the second one has expired already: but it was just given
  await take(part, 3);
  await take(stage.next(), 4);
  assert.deepEqual(stage.asked.map(([, token]) => token), [1, 1, 1, 2, 3].map((n) => `Bearer ${tokens[n - 1]}`)); // prettier-ignore
});

test("a fixed token that is refused ends it, and so does a function that fails at first", async () => {
  const stage = new Stage();
  const part = refused(stage.next());
  await stage.answer(401, { statusCode: 401, code: "invalid_token", message: "Token is not valid" });
  assert.equal((await part).code, "invalid_token");
  const failing = new Stage({ token: () => Promise.reject(new TypeError("no key")) });
  await assert.rejects(failing.next(), /no key/);
});

test("a signal ends it, while it waits for an event and while it waits to try again", async () => {
  for (const happens of [async () => {}, (/** @type {Stage} */ stage) => stage.fail()]) {
    const controller = new AbortController();
    const stage = new Stage({ signal: controller.signal });
    const part = stage.parts.next();
    await happens(stage);
    await settle();
    controller.abort();
    assert.equal((await part).done, true);
    assert.equal(stage.clock.timers.size, 0);
  }
});
