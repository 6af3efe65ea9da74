/** The event log of a server, for a backend (docs/protocol.md, section 10). */

import { Refusal, refusalOf, secondsOf } from "./errors.js";
import { CLOCK, world } from "./platform.js";
import { ReconnectPolicy } from "./reconnect.js";
import { hasExpired, Tokens } from "./tokens.js";

/** @import { End } from "./reconnect.js" */
/** @import { Clock, LogOptions, LogPart } from "./types.js" */

const MOST_EVENTS = 1000; // in a part
const WAIT = 25; // seconds for which the server waits for an event
const PATIENCE = 10_000; // milliseconds for a response, beside those for which the server waits
const NOT_ROOMD = "The answer is not that of roomd";

/**
 * Read the event log of a server part after part, for ever, over lost connections and restarts: `for await (const {
 * events, next } of followLog(url, { token, after }))`. The next part is asked for when the one before was taken.
 *
 * While the server cannot be reached, also at first, it waits and tries again. Throws `Refusal` where that does not help:
 * with the code "position_expired" events are missing, and its `oldest` is the position to go on from. Throws what a
 * token function throws at first.
 *
 * @param {string} url Of the WebSocket, like "wss://meet.example/ws".
 * @param {LogOptions} options
 * @returns {AsyncGenerator<LogPart, void, void>}
 */
export async function* followLog(url, options) {
  const { token, after = null, rooms = [], signal, onRetry, clock = CLOCK } = options;
  const { fetch = world.fetch, random = Math.random } = options;
  const tokens = new Tokens(token, clock);
  const policy = new ReconnectPolicy(random, clock.now, typeof token === "function");
  let used = await tokens.get();
  let position = after;
  let isNew = true; // nothing was read since the last failure
  while (!signal?.aborted) {
    /** @type {LogPart | End} */
    let result;
    try {
      if (used === null || (typeof token === "function" && hasExpired(used, Date.now() / 1000))) used = await tokens.get();
      result = await read(address(url, position, rooms), used, clock, fetch, signal);
    } catch (error) {
      result = { unreachable: error instanceof Error ? error.message : String(error) };
    }
    if (signal?.aborted) return;
    if ("events" in result) {
      if (isNew) policy.arrived();
      policy.accepted();
      isNew = false;
      const isOther = result.next !== position;
      position = result.next;
      if (isOther) yield result;
      continue;
    }
    isNew = true;
    const delay = policy.after(result, used, false);
    if (typeof delay !== "number") throw "refusal" in result ? result.refusal : new Refusal(0, delay.code, delay.message);
    const reason = "refusal" in result ? result.refusal.message : "unreachable" in result ? result.unreachable : "";
    onRetry?.({ reason, delay });
    used = null;
    await sleep(delay, clock, signal);
  }
}

/**
 * @param {string} url
 * @param {string | null} after
 * @param {string[]} rooms
 */
function address(url, after, rooms) {
  const found = new URL(url);
  found.protocol = found.protocol.replace("ws", "http");
  found.pathname = found.pathname.slice(0, found.pathname.lastIndexOf("/") + 1) + "api/v1/events";
  found.searchParams.set("limit", String(MOST_EVENTS));
  found.searchParams.set("wait", String(WAIT));
  if (after !== null) found.searchParams.set("after", after);
  for (const code of rooms) found.searchParams.append("room", code);
  return found;
}

/**
 * Ask for one part. Rejects when the server cannot be reached.
 *
 * @param {URL} url
 * @param {string | null} token
 * @param {Clock} clock
 * @param {typeof globalThis.fetch} fetch
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<LogPart | {refusal: Refusal}>}
 */
async function read(url, token, clock, fetch, signal) {
  const late = new AbortController();
  const abort = () => late.abort();
  const timer = clock.setTimeout(abort, WAIT * 1000 + PATIENCE);
  signal?.addEventListener("abort", abort);
  try {
    /** @type {Record<string, string>} */
    const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
    const response = await fetch(url, { headers, signal: late.signal });
    /** @type {any} */
    const body = await response.json().catch((error) => {
      if (response.ok || response.status >= 500) throw error; // broken off, or a proxy that cannot reach the server
      return null;
    });
    if (response.ok && Array.isArray(body?.events) && typeof body.next === "string")
      return { events: body.events, next: body.next };
    if (typeof body?.code === "string") return { refusal: refusalOf(body) };
    const retryAfter = secondsOf(Number(response.headers.get("Retry-After") ?? NaN));
    return { refusal: new Refusal(response.status, `http_${response.status}`, NOT_ROOMD, retryAfter) };
  } finally {
    clock.clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/**
 * @param {number} seconds
 * @param {Clock} clock
 * @param {AbortSignal | undefined} signal
 * @returns {Promise<void>}
 */
function sleep(seconds, clock, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clock.clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.setTimeout(done, seconds * 1000);
    signal?.addEventListener("abort", done);
  });
}
