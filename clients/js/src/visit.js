/** Visit: the time in the room on one connection, from asking for the seat to the end of the connection. */

import { CATCH_UP } from "./catchup.js";
import { Connection, OPENING } from "./connection.js";
import { noAnswer, refusalOf, secondsOf } from "./errors.js";
import { hasId, isState } from "./frames.js";
import { Outbox } from "./outbox.js";
import { Presence } from "./presence.js";
import { defer } from "./requests.js";
import { View } from "./view.js";

/** @import { End } from "./reconnect.js" */
/** @import { Settle } from "./requests.js" */
/** @import { Clock, Frame, News, Options, Socket, Status } from "./types.js" */

const FAREWELL = 2_000; // milliseconds until a `leave-room` that is not answered is given up

/**
 * How somebody comes in. `takesOver`: a seat of the same user that is connected elsewhere may be taken over; only for
 * somebody who has just asked for that. `onlyResumes`: nothing is tried but taking the kept seat back.
 *
 * @typedef {{takesOver: boolean, onlyResumes: boolean}} Entry
 */

/** What a stay in the room keeps from one connection to the next. */
export class Stay {
  view = new View();
  presence = new Presence();
  outbox;
  /** Seconds that the seat is to be held after a clean close; null: as the server has it. @type {number | null} */
  hold = null;
  /** @type {Entry} */
  entry;

  /**
   * @param {Entry} entry
   * @param {Clock} clock
   */
  constructor(entry, clock) {
    this.entry = entry;
    this.outbox = new Outbox(clock);
  }

  /** Note that this client is in. From now on nobody asks for the seat but the client itself. */
  arrived() {
    this.entry = { takesOver: false, onlyResumes: false };
  }

  /** Note that the connection is lost. */
  drop() {
    this.presence.remember(this.view.me);
    this.view.drop();
  }
}

/**
 * What a visit reports, none of it after `end()` or `leave()`; and what it asks for.
 *
 * @typedef {object} VisitOwner
 * @property {(before: Status, news: News[]) => void} applied The view has taken a frame; `before` was its status.
 * @property {(end: End) => void} ended There will be no more on this connection.
 * @property {() => void} seatLost The held seat, or the place in the queue, is gone.
 * @property {() => Promise<string | null>} token Gets the token to ask for a new seat with.
 * @property {() => Promise<string | null>} freshToken Gets a token that is worth sending after a `resume`; null: none.
 * @property {() => void} tokenAccepted
 * @property {(token: string) => void} tokenRefused It will not be sent again.
 */

export class Visit {
  connection;
  #stay;
  #token;
  #options;
  #code;
  #clock;
  #owner;
  #isOver = false;
  /** Left on purpose: no other connection will follow for this stay. */
  #isLeft = false;
  /** The whole room was asked for, to fill a gap. */
  #isRefreshing = false;
  /** A page of missed messages was asked for, or will be after a pause. */
  #isReading = false;
  /** Runs out when a page that was refused for now is asked for again. @type {any} */
  #pageTimer = null;
  /** Seconds for which the server asked to be left alone before it closes. @type {number | null} */
  #retryAfter = null;
  /** Runs out when a seat was asked for and neither it nor a place in the queue has come. @type {any} */
  #seatTimer = null;

  /**
   * @param {Socket} socket
   * @param {string | null} token
   * @param {Stay} stay
   * @param {{options: Options, code: string, clock: Clock, nextId: () => number}} context
   * @param {VisitOwner} owner
   */
  constructor(socket, token, stay, { options, code, clock, nextId }, owner) {
    this.#code = code;
    this.#token = token;
    this.#stay = stay;
    this.#options = options;
    this.#clock = clock;
    this.#owner = owner;
    this.connection = new Connection(socket, clock, nextId, options.maxFrame, {
      open: () => this.#isOver || this.#opened(),
      frame: (frame) => this.#isOver || this.#received(frame),
      end: (code, reason) => this.#isOver || owner.ended({ close: code, reason, retryAfter: this.#retryAfter }),
    });
  }

  /** End the connection, or give up the attempt to open it. */
  end() {
    this.#stop();
    this.connection.end(1000, "");
  }

  /**
   * Leave the room, then end the connection.
   *
   * @returns {Promise<void>} Done when the server has answered, or has not for some time.
   */
  leave() {
    this.#stop();
    this.#isLeft = true;
    const { connection } = this;
    const left = defer();
    if (connection.isOpen) {
      const timer = this.#clock.setTimeout(() => connection.end(1006, ""), FAREWELL);
      connection.ask("leave-room", {}, () => {
        this.#clock.clearTimeout(timer);
        connection.end(1000, "");
        left.resolve(undefined);
      });
    } else {
      connection.end(1000, "");
      left.resolve(undefined);
    }
    return left.promise;
  }

  /** Send the changes of the own presence that are not sent yet. */
  sendPresence() {
    this.#stay.presence.flush(
      (state, settle) => this.connection.ask("update-participant", { state }, settle),
      () => this.#isLeft,
    );
  }

  /** Send the messages that are not under way. */
  sendMessages() {
    const { outbox, view } = this.#stay;
    if (view.me !== null)
      outbox.flush(view.me.id, (draft, settle) => this.connection.ask("send-message", { ...draft }, settle));
  }

  /**
   * Ask to hold the seat after a clean close of this connection.
   *
   * @param {number} hold Seconds.
   * @param {Settle} settle
   */
  sendHold(hold, settle) {
    this.connection.ask("update-connection", { hold }, settle);
  }

  #stop() {
    this.#isOver = true;
    this.#clock.clearTimeout(this.#seatTimer);
    this.#clock.clearTimeout(this.#pageTimer);
  }

  // Getting a seat.

  #opened() {
    const { resumeToken } = this.#stay.view;
    if (resumeToken === null) this.#askForSeat(this.#token);
    else this.#askToResume(resumeToken);
  }

  /**
   * Send the token and ask for the seat, without waiting in between: the server handles requests in order, and none
   * after a bad token.
   *
   * @param {string | null} token
   */
  #askForSeat(token) {
    const { guestName, wait } = this.#options;
    const takeOver = this.#stay.entry.takesOver ? undefined : false;
    if (token !== null)
      this.#ask("authenticate", { token }, (reply) => {
        if (reply.type === "error") this.#refused(reply);
        else this.#owner.tokenAccepted();
      });
    this.#ask("join-room", { code: this.#code, guestName, wait: wait || undefined, takeOver }, (reply) => {
      if (reply.type === "error") this.#refused(reply);
    });
    this.#expectSeat();
  }

  /**
   * Take the seat back. The resume token proves it, and nothing else does: an expired token must not cost a seat.
   *
   * @param {string} resumeToken
   */
  #askToResume(resumeToken) {
    const { entry, view } = this.#stay;
    this.#ask("resume", { resumeToken }, (reply) => {
      if (reply.type !== "error") return void this.#authenticate();
      if (reply.code !== "seat_expired" && !(reply.code === "taken_over" && entry.takesOver)) return this.#refused(reply);
      view.forgetSeat();
      this.#owner.seatLost();
      if (entry.onlyResumes) return this.#refused(reply);
      this.#owner.token().then(
        (token) => this.#isOver || this.#askForSeat(token),
        (error) => this.#isOver || this.#owner.ended({ unreachable: error.message }),
      );
    });
    this.#expectSeat();
  }

  /** Say who is asking, once the seat is had. Whatever comes of that, the seat stays. */
  async #authenticate() {
    const token = await this.#owner.freshToken();
    if (token === null || this.#isOver) return;
    this.#ask("authenticate", { token }, (reply) => {
      if (reply.type !== "error") this.#owner.tokenAccepted();
      else if (reply.statusCode === 401) this.#refused(reply); // and the server closes
      else this.#owner.tokenRefused(token);
    });
  }

  /** @param {Frame} error */
  #refused(error) {
    this.#owner.ended({ refusal: refusalOf(error) });
  }

  /** End the connection if no seat comes in time, rather than wait for ever. */
  #expectSeat() {
    this.#clock.clearTimeout(this.#seatTimer);
    const giveUp = () => this.connection.end(1006, "The server does not answer");
    this.#seatTimer = this.#clock.setTimeout(giveUp, OPENING);
  }

  // Having it.

  /**
   * Take a frame, before the request that it answers is settled.
   *
   * @param {Frame} frame
   */
  #received(frame) {
    const { view, presence } = this.#stay;
    if (frame.type === "server-restarting") this.#retryAfter = secondsOf(frame.retryAfter);
    if (frame.type === "participant" && view.status === "waiting") this.#expectSeat(); // its room follows
    const before = view.status;
    const news = view.apply(frame);
    if (frame.type === "participant" && hasId(frame.participant)) presence.seated(frame.participant);
    for (const { type, detail } of news) if (type === "message") this.#stay.outbox.arrived(detail.message);
    if (frame.type === "waiting" || (frame.type === "room-state" && isState(frame))) this.#seatTaken();
    this.#owner.applied(before, news);
    if (!this.#isOver) this.#act(before);
  }

  /** Stop to wait for the seat, or for the state of the room. */
  #seatTaken() {
    this.#clock.clearTimeout(this.#seatTimer);
    this.#isRefreshing = false;
  }

  /**
   * Do what the view needs.
   *
   * @param {Status} before
   */
  #act(before) {
    const { view } = this.#stay;
    if (view.status !== before && this.#stay.hold !== null) this.sendHold(this.#stay.hold, () => {});
    if (view.status !== "joined") return;
    if (before !== "joined") {
      this.sendPresence();
      this.sendMessages();
    }
    if (view.isStale) this.#refresh();
    if (view.missed !== null && !this.#isReading) this.#readMissed(view.missed.delay);
  }

  /** Fill a gap: the server answers a join of the room one is in with its whole state. */
  #refresh() {
    if (this.#isRefreshing) return;
    this.#isRefreshing = true;
    const { guestName } = this.#options;
    this.#ask("join-room", { code: this.#code, guestName, takeOver: false }, (reply) => {
      // Whoever has a seat resumes it on another connection.
      if (reply.type === "error") this.#owner.ended({ close: 1006, retryAfter: secondsOf(reply.retryAfter) });
    });
    this.#expectSeat();
  }

  /**
   * Ask for a page of missed messages, after a pause of some seconds. The view takes the reply before this does.
   *
   * @param {number} delay
   */
  #readMissed(delay) {
    this.#isReading = true;
    const ask = () => {
      const { missed } = this.#stay.view;
      if (missed === null) return;
      const settle = () => {
        this.#isReading = false;
        if (this.#stay.view.missed !== null) this.#readMissed(this.#stay.view.missed.delay);
      };
      missed.isAsked = true;
      this.#ask("list-messages", missed.request(this.#code), settle, CATCH_UP);
    };
    if (delay > 0) this.#pageTimer = this.#clock.setTimeout(ask, delay * 1000);
    else ask();
  }

  /**
   * Send a request of the client's own; its reply is ignored when the visit is over by then. One that is not answered
   * ends the connection: there is no meeting without it.
   *
   * @param {string} type
   * @param {Record<string, unknown>} fields
   * @param {(reply: Frame) => void} settle
   * @param {string} [id]
   */
  #ask(type, fields, settle, id) {
    const taken = (/** @type {Frame | null} */ reply) => {
      if (reply === null || this.#isOver) return;
      if (reply.code === noAnswer().code) this.connection.end(1006, "The server does not answer");
      else settle(reply);
    };
    this.connection.ask(type, fields, taken, id);
  }
}
