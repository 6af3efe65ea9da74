/**
 * Session: one person's stay in a room, over as many connections as it takes. All that changes its status is here.
 *
 *     status        | connection      | what is sent on a new one    | goes to
 *     --------------|-----------------|------------------------------|----------------------------------------------
 *     new           | none            |                              | connecting
 *     connecting    | being made      | resume, when a seat was kept | joined, waiting; over, when refused or unreachable
 *                   |                 | by the store; else join-room |
 *     waiting       | open            |                              | joined, reconnecting, over
 *     joined        | open            |                              | reconnecting, over
 *     reconnecting  | none, or being  | resume; join-room when the   | joined, waiting, over
 *                   | made            | seat is held no longer (410) |
 *     over          | none            |                              | connecting, by another join() or resume()
 *
 * Frames are handled synchronously, in the order they come. Some WebSockets deliver several frames at once; if a reply
 * waited for a promise, it would be handled after the event that follows it.
 */

import { codeOf } from "./codes.js";
import { ANSWER } from "./connection.js";
import { Refusal, disconnected, notAccepted } from "./errors.js";
import { Network } from "./network.js";
import { newClientId } from "./outbox.js";
import { CLOCK, world } from "./platform.js";
import { ReconnectPolicy, askedDelay, overBy } from "./reconnect.js";
import { defer, settleBy } from "./requests.js";
import { Seats } from "./seats.js";
import { Tokens } from "./tokens.js";
import { Stay, Visit } from "./visit.js";

/** @import { StateChange } from "./presence.js" */
/** @import { End } from "./reconnect.js" */
/** @import { Deferred } from "./requests.js" */
/** @import { Frame, News, Options, Over, Status } from "./types.js" */
/** @import { Entry, VisitOwner } from "./visit.js" */

const DOUBT = 3_000; // milliseconds until something must have come, after the browser has reported a change

/** Ends after which the kept seat is of no use. @type {ReadonlySet<string>} */
const GONE = new Set(["left", "room_ended", "removed", "denied"]);

export class Session {
  /** The room's code. */
  code;
  #url;
  #options;
  #emit;
  #clock;
  #tokens;
  #seats;
  #policy;
  /** The token that was last sent on this connection, or will be; null: none. @type {string | null} */
  #token = null;
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
  /** The end of this stay was told. */
  #isFinished = false;
  /** The resume token that the store has from this client. @type {string | null} */
  #keptToken = null;
  /** Seconds that the seat is to be held after a clean close. @type {number | null} */
  #hold = null;

  /**
   * @param {string} url
   * @param {Options} options
   * @param {(news: News[]) => void} emit Called with at least one event at a time.
   */
  constructor(url, options, emit) {
    this.code = codeOf(options.code);
    this.#url = url;
    this.#options = options;
    this.#emit = emit;
    this.#clock = options.clock ?? CLOCK;
    this.#tokens = new Tokens(options.token, this.#clock);
    this.#seats = new Seats(options, this.code, this.#clock);
    this.#policy = this.#newPolicy();
    this.#stay = new Stay({ takesOver: true, onlyResumes: false }, this.#clock);
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

  /** @returns {Status} */
  get status() {
    return this.#joining === null ? "new" : this.#stay.view.status;
  }

  get canResume() {
    return this.#seats.kept !== null;
  }

  // What `Meeting` asks for, and describes.

  /**
   * @param {Entry} entry
   * @returns {Promise<void>}
   */
  join(entry) {
    if (this.#joining !== null && this.status !== "over") return this.#joining.promise;
    const joining = (this.#joining = defer());
    this.#stay = new Stay(entry, this.#clock);
    this.#stay.hold = this.#hold;
    this.#policy = this.#newPolicy();
    this.#isFinished = false;
    this.#network.listen();
    this.#tell([{ type: "status", detail: { status: "connecting" } }]);
    if (this.#isFirst) this.#start(entry); // unless a listener has left
    return joining.promise;
  }

  /** @returns {Promise<void>} */
  leave() {
    const left = this.#visit?.leave() ?? Promise.resolve();
    this.#visit = null;
    this.#finish({ code: "left", message: "You left the room", reason: null });
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

  /**
   * @param {string} text
   * @param {string | null | undefined} to
   * @param {string} [clientId]
   * @returns {Promise<Frame>}
   */
  say(text, to, clientId = newClientId()) {
    if (this.status !== "joined" && this.status !== "reconnecting") {
      const { promise, reject } = defer();
      reject(disconnected());
      return promise;
    }
    const promise = this.#stay.outbox.add({ text, to, clientId });
    if (this.status === "joined") this.#visit?.sendMessages();
    return promise;
  }

  /**
   * @param {number} hold Seconds.
   * @returns {Promise<Frame | undefined>}
   */
  async hold(hold) {
    this.#hold = this.#stay.hold = hold;
    const connection = this.#visit?.connection;
    if (!connection?.isOpen || (this.status !== "joined" && this.status !== "waiting")) return undefined;
    return this.request("update-connection", { hold });
  }

  // Connecting.

  /**
   * Take the kept seat, if there is one and no other tab has it, then connect.
   *
   * @param {Entry} entry
   */
  async #start({ takesOver, onlyResumes }) {
    const attempt = (this.#attempt = {});
    const { kept } = this.#seats;
    if (kept !== null) {
      const isOurs = await this.#seats.claim(kept.participantId);
      if (attempt !== this.#attempt) return;
      if (isOurs) this.view.resumeToken = kept.resumeToken;
      else if (!takesOver) return this.#finish({ code: "taken_over", message: "Your seat is in use in another tab", reason: null });
    }
    if (onlyResumes && this.view.resumeToken === null)
      return this.#finish({ code: "seat_expired", message: "Seat is no longer held", reason: null });
    this.#connect();
  }

  async #connect() {
    const attempt = (this.#attempt = {});
    try {
      const Class = this.#options.WebSocket ?? world.WebSocket;
      if (Class === undefined) throw new Error("There is no global WebSocket here: give one as the option WebSocket");
      // The resume token is proof enough. Whatever is wrong with the other one must not cost the seat.
      const token = this.view.resumeToken === null ? await this.#tokens.get() : null;
      if (attempt !== this.#attempt) return;
      this.#token = token;
      if (this.#policy.refuses(token)) return this.#ended({ refusal: notAccepted() });
      const context = { options: this.#options, code: this.code, clock: this.#clock, nextId: () => ++this.#lastId };
      this.#visit = new Visit(new Class(this.#url, ["roomd.v1"]), token, this.#stay, context, this.#owner);
    } catch (error) {
      if (attempt !== this.#attempt) return;
      this.#ended({ unreachable: error instanceof Error ? error.message : String(error) });
    }
  }

  #newPolicy() {
    const { random, token } = this.#options;
    return new ReconnectPolicy(random ?? Math.random, () => this.#clock.now(), typeof token === "function");
  }

  /** What follows from the reports of a visit. @type {VisitOwner} */
  #owner = {
    applied: (before, news) => {
      const { status, over } = this.view;
      this.#keep();
      if (over !== null) return this.#finish(over, undefined, news);
      if (status === before) return this.#tell(news);
      if (before !== "waiting") this.#policy.arrived();
      this.#stay.arrived();
      this.#tell([this.#statusNews(), ...news]);
      this.#joining?.resolve(undefined);
    },
    ended: (end) => this.#ended(end),
    seatLost: () => {
      this.#seats.forget();
      this.#seats.release();
    },
    token: async () => (this.#token = await this.#tokens.get()),
    freshToken: async () => {
      const token = await this.#tokens.getFresh();
      return (this.#token = this.#policy.mayAuthenticate(token) ? token : null);
    },
    tokenAccepted: () => this.#policy.accepted(),
    tokenRefused: (token) => this.#policy.refused(token),
  };

  /** Keep the newest resume token. */
  #keep() {
    const { resumeToken, me, place } = this.view;
    const participantId = me?.id ?? place?.participantId;
    if (resumeToken === null || resumeToken === this.#keptToken || participantId === undefined) return;
    this.#keptToken = resumeToken;
    this.#seats.keep({ participantId, resumeToken });
  }

  // Losing the connection, for a while or for good.

  /** The `join()` that was called has not been answered yet. */
  get #isFirst() {
    return this.status === "connecting";
  }

  /** @param {End} end */
  #ended(end) {
    if (this.#isFirst) return this.#firstEnded(end);
    const verdict = this.#policy.after(end, this.#token, this.view.resumeToken !== null);
    if (typeof verdict === "number") this.#retry(verdict);
    else this.#finish(verdict, "refusal" in end ? end.refusal : undefined);
  }

  /**
   * Fail to join. Nothing is tried again but a new token, and that at once.
   *
   * @param {End} end
   */
  #firstEnded(end) {
    if (this.#policy.mayRenew(end, this.#token)) {
      this.#disconnect();
      this.#connect();
      return;
    }
    if ("refusal" in end) {
      const { statusCode, code, message } = end.refusal;
      return this.#finish({ code: statusCode === 401 ? "bad_token" : code, message, reason: null }, end.refusal);
    }
    const why = "unreachable" in end ? end.unreachable : end.reason;
    const message = why || "The server could not be reached";
    const over = overBy(end) ?? { code: "unreachable", message, reason: null };
    const isToken = over.code === "bad_token";
    this.#finish(over, isToken ? notAccepted() : new Refusal(0, over.code, over.message, askedDelay(end) || null));
  }

  /**
   * Connect again after a pause.
   *
   * @param {number} delay Seconds.
   */
  #retry(delay) {
    this.#disconnect();
    this.#stay.drop();
    this.#retryTimer = this.#clock.setTimeout(() => this.#retryNow(), delay * 1000);
    this.#tell([{ type: "status", detail: { status: "reconnecting", retryIn: delay } }]);
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
   * @param {Over} over
   * @param {Refusal} [refusal] What `join()` rejects with, if it has not been answered yet.
   * @param {News[]} [news] What is told before.
   */
  #finish(over, refusal, news = []) {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#disconnect();
    this.#network.unlisten();
    this.view.finish(over);
    if (GONE.has(over.code)) this.#seats.forget();
    this.#seats.release();
    const joining = this.#joining;
    const unsent = this.#stay.presence.drop();
    this.#tell([...news, this.#statusNews(), { type: "over", detail: over }]);
    joining?.reject(refusal ?? new Refusal(0, over.code, over.message));
    for (const { reject } of unsent) reject(disconnected());
    this.#stay.outbox.close();
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

  /** @returns {News} */
  #statusNews() {
    return { type: "status", detail: { status: this.status } };
  }

  /** @param {News[]} news */
  #tell(news) {
    if (news.length > 0) this.#emit(news);
  }
}
