/**
 * Session: one person's stay in a room, over as many connections as it takes. All that changes its status is here.
 *
 *     status        | connection      | what is sent on a new one    | goes to
 *     --------------|-----------------|------------------------------|----------------------------------------------
 *     new           | none            |                              | connecting
 *     connecting    | being made      | join-room                    | joined, waiting; over, when refused or unreachable
 *     waiting       | open            |                              | joined, reconnecting, over
 *     joined        | open            |                              | reconnecting, over
 *     reconnecting  | none, or being  | resume; join-room when the   | joined, waiting, over
 *                   | made            | seat is held no longer (410) |
 *     over          | none            |                              | connecting, by another join()
 *
 * Frames are handled synchronously, in the order they come. Some WebSockets deliver several frames at once; if a reply
 * waited for a promise, it would be handled after the event that follows it.
 */

import { Backoff } from "./backoff.js";
import { ANSWER } from "./connection.js";
import { Refusal, disconnected, finalClose, notAccepted } from "./errors.js";
import { Network } from "./network.js";
import { CLOCK, world } from "./platform.js";
import { defer, settleBy } from "./requests.js";
import { Tokens } from "./tokens.js";
import { Stay, Visit } from "./visit.js";

/** @import { StateChange } from "./presence.js" */
/** @import { Deferred } from "./requests.js" */
/** @import { Frame, News, Options, Status } from "./types.js" */
/** @import { VisitOwner } from "./visit.js" */

const DOUBT = 3_000; // milliseconds until something must have come, after the browser has reported a change

export class Session {
  /** @type {Status} */
  status = "new";

  #url;
  #options;
  #emit;
  #clock;
  #random;
  #backoff = new Backoff();
  #tokens;
  #network;
  #stay;
  /** @type {Visit | null} */
  #visit = null;
  /** What `join()` returned. @type {Deferred<void> | null} */
  #joining = null;
  /** Of the last request. One count for all connections: the answer to a join may come on a later one. */
  #lastId = 0;
  /** Stands for one attempt to connect: what comes late from an earlier one is ignored. */
  #attempt = {};
  /** @type {any} */
  #retryTimer = null;

  /**
   * @param {string} url
   * @param {Options} options
   * @param {(news: News[]) => void} emit Called with at least one event at a time.
   */
  constructor(url, options, emit) {
    this.#url = url;
    this.#options = options;
    this.#emit = emit;
    this.#clock = options.clock ?? CLOCK;
    this.#random = options.random ?? Math.random;
    this.#tokens = new Tokens(options.token, this.#clock);
    this.#stay = new Stay(this.#clock);
    this.#network = new Network(options, {
      online: () => this.#online(),
      offline: () => this.#visit?.connection.probe(DOUBT),
      visible: () => this.#visible(),
    });
  }

  /** What is known of the room; another one after each `join()`. */
  get view() {
    return this.#stay.view;
  }

  // What `Meeting` asks for, and describes.

  /** @returns {Promise<void>} */
  join() {
    if (this.#joining !== null && this.status !== "over") return this.#joining.promise;
    const joining = (this.#joining = defer());
    this.#stay = new Stay(this.#clock);
    this.#backoff.reset();
    this.#tokens.reset();
    this.#network.listen();
    this.#tell(this.#become("connecting"));
    if (this.#isFirst) this.#connect(); // unless a listener has left
    return joining.promise;
  }

  /** @returns {Promise<void>} */
  leave() {
    const left = this.#visit?.leave() ?? Promise.resolve();
    this.#visit = null;
    this.#finish("left", "You left");
    return left;
  }

  /**
   * @param {string} type
   * @param {Record<string, unknown>} fields
   * @returns {Promise<Frame>}
   */
  request(type, fields) {
    const deferred = defer();
    const connection = this.#visit?.connection;
    if (connection?.isOpen && (this.status === "joined" || this.status === "waiting")) {
      try {
        connection.ask(type, fields, settleBy(deferred));
      } catch (error) {
        deferred.reject(error);
      }
    } else deferred.reject(disconnected());
    return deferred.promise;
  }

  /**
   * @param {StateChange} state
   * @returns {Promise<Frame>}
   */
  updateState(state) {
    if (this.status === "new" || this.status === "over") {
      const { promise, reject } = defer();
      reject(disconnected());
      return promise;
    }
    const promise = this.#stay.presence.change(state);
    if (this.status === "joined") this.#visit?.sendPresence();
    return promise;
  }

  // Connecting.

  async #connect() {
    const attempt = (this.#attempt = {});
    try {
      const Class = this.#options.WebSocket ?? world.WebSocket;
      if (Class === undefined) throw new Error("There is no global WebSocket here: give one as the option WebSocket");
      const token = await this.#tokens.get();
      if (attempt !== this.#attempt) return;
      if (!this.#tokens.use(token)) return this.#finish("bad_token", "The token was not accepted", notAccepted());
      const context = { options: this.#options, clock: this.#clock, nextId: () => ++this.#lastId };
      this.#visit = new Visit(new Class(this.#url, ["roomd.v1"]), token, this.#stay, context, this.#owner);
    } catch (error) {
      if (attempt === this.#attempt) this.#failed(error instanceof Error ? error.message : String(error));
    }
  }

  /** What follows from the reports of a visit. @type {VisitOwner} */
  #owner = {
    status: () => this.status,
    settled: (status, news) => {
      this.#backoff.joined(this.#clock.now());
      this.#tokens.reset();
      this.#tell([...this.#become(status), ...news]);
      this.#joining?.resolve(undefined);
    },
    tell: (news) => this.#tell(news),
    refused: (refusal) => this.#refused(refusal),
    finish: (code, reason, refusal, said) => this.#finish(code, reason, refusal, said),
    restarting: (seconds) => (this.#backoff.retryAfter = seconds),
    dropped: (code, reason) => this.#dropped(code, reason),
  };

  // Losing the connection, for a while or for good.

  /** @param {Refusal} refusal */
  #refused(refusal) {
    if (refusal.statusCode === 401) return this.#badToken(refusal);
    const { statusCode, code, message, retryAfter } = refusal;
    if (this.#isFirst || (statusCode !== 429 && statusCode < 500)) return this.#finish(code, message, refusal);
    this.#backoff.retryAfter = retryAfter;
    this.#retry();
  }

  /** @param {Refusal} refusal */
  #badToken(refusal) {
    if (!this.#tokens.refuse()) return this.#finish("bad_token", refusal.message, refusal);
    if (!this.#isFirst) return this.#retry();
    this.#disconnect();
    this.#connect();
  }

  /** The `join()` that was called has not been answered yet. */
  get #isFirst() {
    return this.status === "connecting";
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #dropped(code, reason) {
    const final = finalClose(code);
    if (final) return this.#finish(final[0], final[1]);
    if (code === 4401) return this.#badToken(notAccepted());
    this.#backoff.closed(code);
    this.#failed(reason || "The server could not be reached");
  }

  /** @param {string} reason */
  #failed(reason) {
    if (this.#isFirst) this.#finish("unreachable", reason, new Refusal(0, "unreachable", reason, this.#backoff.retryAfter));
    else this.#retry();
  }

  /** Connect again after a pause. */
  #retry() {
    this.#disconnect();
    const delay = this.#backoff.next(this.#clock.now(), this.#random);
    this.#retryTimer = this.#clock.setTimeout(() => this.#retryNow(), delay);
    this.status = "reconnecting";
    this.#tell([{ type: "status", detail: { status: "reconnecting", retryIn: delay / 1000 } }]);
  }

  #retryNow() {
    this.#disconnect();
    this.#tell([{ type: "status", detail: { status: "reconnecting" } }]);
    if (this.status === "reconnecting") this.#connect(); // unless a listener has left
  }

  /** Close the connection, or give up the attempt to make one. */
  #disconnect() {
    const visit = this.#visit;
    this.#visit = null;
    this.#attempt = {};
    this.#clock.clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    this.#tokens.cancel();
    visit?.end();
  }

  /**
   * Be over.
   *
   * @param {string} code
   * @param {string} reason
   * @param {Refusal} [refusal] What `join()` rejects with, if it has not been answered yet.
   * @param {string | null} [said] The host's own words.
   */
  #finish(code, reason, refusal, said = null) {
    if (this.status === "over") return;
    this.#disconnect();
    this.#network.unlisten();
    const joining = this.#joining;
    const unsent = this.#stay.presence.drop();
    this.#tell([...this.#become("over"), { type: "over", detail: { code, reason, said } }]);
    joining?.reject(refusal ?? new Refusal(0, code, reason));
    for (const { reject } of unsent) reject(disconnected());
  }

  // What the browser reports.

  #online() {
    if (this.#visit?.connection.isOpen) this.#visit.connection.probe(DOUBT);
    else if (this.status === "reconnecting") this.#retryNow();
  }

  #visible() {
    const connection = this.#visit?.connection;
    if (!connection && this.#retryTimer !== null) this.#retryNow();
    else if (connection && this.#clock.now() - connection.heardAt > DOUBT) connection.probe(ANSWER);
  }

  // Telling.

  /**
   * @param {Status} status
   * @returns {News[]}
   */
  #become(status) {
    if (status === this.status) return [];
    this.status = status;
    return [{ type: "status", detail: { status } }];
  }

  /** @param {News[]} news */
  #tell(news) {
    if (news.length > 0) this.#emit(news);
  }
}
