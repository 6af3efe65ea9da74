/** Visit: the time in the room on one connection, from asking for the seat to the end of the connection. */

import { CatchUp } from "./catchup.js";
import { Connection, OPENING } from "./connection.js";
import { Refusal, refusalOf, secondsOf } from "./errors.js";
import { hasId, isState } from "./frames.js";
import { Presence } from "./presence.js";
import { defer } from "./requests.js";
import { View } from "./view.js";

/** @import { Participant } from "./protocol.js" */
/** @import { Clock, Frame, News, Options, Socket, Status } from "./types.js" */

const PAGE = 200; // messages asked for at once, the most the server gives
const FAREWELL = 2_000; // milliseconds until a `leave-room` that is not answered is given up

/** What a stay in the room keeps from one connection to the next. */
export class Stay {
  view = new View();
  presence = new Presence();
  catchUp;
  /** Takes the seat, or the place in the queue, back. @type {string | null} */
  resumeToken = null;
  /** Ids of the requests for a seat. @type {Set<number | string>} */
  askedFor = new Set();

  /** @param {Clock} clock */
  constructor(clock) {
    this.catchUp = new CatchUp(clock);
  }
}

/**
 * What a visit reports. None of these is called after `end()` or `leave()`.
 *
 * @typedef {object} VisitOwner
 * @property {() => Status} status
 * @property {(status: "joined" | "waiting", news: News[]) => void} settled The seat, or the place in the queue, is had.
 * @property {(news: News[]) => void} tell
 * @property {(refusal: Refusal) => void} refused There will be no seat on this connection.
 * @property {(code: string, reason: string, refusal?: Refusal, said?: string | null) => void} finish The stay is over.
 * @property {(seconds: number | null) => void} restarting The server is about to restart.
 * @property {(code: number, reason: string) => void} dropped The connection has ended.
 */

export class Visit {
  connection;
  #stay;
  #token;
  #options;
  #clock;
  #owner;
  #isOver = false;
  /** Left on purpose: no other connection will follow for this stay. */
  #isLeft = false;
  /** The whole room was asked for, to fill a gap. */
  #isRefreshing = false;
  #hasLobby = false;
  /** Runs out when a seat was asked for and neither it nor a place in the queue has come. @type {any} */
  #seatTimer = null;

  /**
   * @param {Socket} socket
   * @param {string | null} token
   * @param {Stay} stay
   * @param {{options: Options, clock: Clock, nextId: () => number}} context
   * @param {VisitOwner} owner
   */
  constructor(socket, token, stay, { options, clock, nextId }, owner) {
    this.#token = token;
    this.#stay = stay;
    this.#options = options;
    this.#clock = clock;
    this.#owner = owner;
    this.connection = new Connection(socket, clock, nextId, options.maxFrame, {
      open: () => this.#isOver || this.#opened(),
      frame: (frame) => this.#isOver || this.#received(frame),
      end: (code, reason) => this.#isOver || owner.dropped(code, reason),
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

  #stop() {
    this.#isOver = true;
    this.#clock.clearTimeout(this.#seatTimer);
    this.#stay.catchUp.stop();
  }

  // Getting a seat.

  /**
   * Send the token and ask for the seat, without waiting in between: the server handles requests in order, and none
   * after a bad token.
   */
  #opened() {
    if (this.#token !== null)
      this.#ask("authenticate", { token: this.#token }, (reply) => {
        if (reply.type === "error") this.#owner.refused(refusalOf(reply));
      });
    if (this.#stay.resumeToken === null) this.#askForSeat();
    else this.#askToResume(this.#stay.resumeToken);
  }

  #askForSeat() {
    const { code, guestName, wait } = this.#options;
    const fields = { code, guestName, wait: wait || undefined };
    this.#stay.askedFor.add(this.#ask("join-room", fields, (reply) => this.#answered(reply)));
    this.#expectSeat();
  }

  /** @param {string} resumeToken */
  #askToResume(resumeToken) {
    const answered = (/** @type {Frame} */ reply) => {
      if (reply.type === "error" && reply.code === "seat_expired") {
        this.#stay.resumeToken = null;
        this.#askForSeat();
      } else if (reply.type === "error" && reply.code === "banned") {
        // Removed while away, with or without a ban: a `removed` would have told it.
        this.#owner.finish("removed", reply.message, refusalOf(reply));
      } else this.#answered(reply);
    };
    this.#stay.askedFor.add(this.#ask("resume", { resumeToken }, answered));
    this.#expectSeat();
  }

  /** End the connection if no seat comes in time, rather than wait for ever. */
  #expectSeat() {
    this.#clock.clearTimeout(this.#seatTimer);
    const giveUp = () => this.connection.end(1006, "The server does not answer");
    this.#seatTimer = this.#clock.setTimeout(giveUp, OPENING);
  }

  /**
   * Handle the answer to a request for a seat, at once or after a wait.
   *
   * @param {Frame} reply
   */
  #answered(reply) {
    if (reply.type === "error") return this.#owner.refused(refusalOf(reply));
    this.#stay.resumeToken = reply.resumeToken ?? this.#stay.resumeToken;
    this.#hasLobby = false;
    if (reply.type === "participant") return this.#seated(reply.participant);
    if (reply.type !== "waiting") return;
    this.#clock.clearTimeout(this.#seatTimer);
    this.#owner.settled("waiting", this.#stay.view.wait(reply));
  }

  /**
   * Take a seat. The `room-state` follows.
   *
   * @param {Participant} participant
   */
  #seated(participant) {
    if (!hasId(participant)) return;
    if (this.#owner.status() === "waiting") this.#expectSeat();
    const { view, presence } = this.#stay;
    const before = view.me;
    view.sit(participant);
    if (before !== null && before.id !== participant.id) presence.restore(before);
  }

  // Having it.

  /** @param {Frame} frame */
  #received(frame) {
    const { view, askedFor } = this.#stay;
    const status = this.#owner.status();
    switch (frame.type) {
      case "room-state":
        return this.#stateReceived(frame);
      case "participant":
        // Admitted. The id is that of the join, which may have been sent on another connection.
        if (frame.resumeToken && status === "waiting") this.#answered(frame);
        return;
      case "error":
        if (frame.id != null && askedFor.has(frame.id)) this.#owner.refused(refusalOf(frame));
        return;
      case "room-ended":
        return this.#owner.finish("room_ended", "The room was ended");
      case "removed":
        return this.#owner.finish("removed", frame.reason || "You were removed from this room", undefined, frame.reason || null);
      case "server-restarting":
        return this.#owner.restarting(secondsOf(frame.retryAfter));
      case "waiting-changed":
        this.#hasLobby = true;
    }
    if (frame.type === "waiting" && status !== "waiting") return;
    this.#owner.tell(view.apply(frame));
    if (view.isStale) this.#refresh();
  }

  /**
   * Take the whole room in: after a join, a resume, or a gap.
   *
   * @param {Frame} state
   */
  #stateReceived(state) {
    const { view, catchUp } = this.#stay;
    if (view.me === null || !isState(state)) return;
    this.#clock.clearTimeout(this.#seatTimer);
    this.#isRefreshing = false;
    const isJoined = this.#owner.status() === "joined";
    const isBack = view.room !== null;
    const isReading = isJoined && catchUp.isNeeded;
    // If the last catch-up was cut off, the messages it was to read are still missing.
    if (isBack && !catchUp.isNeeded) catchUp.miss({ after: view.messages.at(-1)?.id ?? null, isNews: true });
    const news = view.apply(state);
    if (isJoined) this.#owner.tell(news);
    else this.#owner.settled("joined", news);
    if (isReading || this.#isOver) return; // over: a listener has left
    if (!isJoined) {
      this.sendPresence();
      // A user may have had private messages here before this client came.
      if (!isBack && view.me.userId !== null) catchUp.miss({ after: view.messages[0]?.id ?? null, isNews: false });
    }
    this.#readMissed();
  }

  /** Fill a gap: the server answers a join of the room one is in with its whole state. */
  #refresh() {
    if (this.#isRefreshing || this.#isOver) return;
    this.#isRefreshing = true;
    const { code, guestName } = this.#options;
    this.#ask("join-room", { code, guestName }, (reply) => {
      if (reply.type === "error") return this.#owner.refused(refusalOf(reply));
      this.#stay.resumeToken = reply.resumeToken ?? this.#stay.resumeToken;
      this.#seated(reply.participant);
    });
    this.#expectSeat();
  }

  #readMissed() {
    const { view, catchUp } = this.#stay;
    const list = (/** @type {string | null} */ cursor, /** @type {(reply: Frame) => void} */ settle) => {
      this.#ask("list-messages", { code: this.#options.code, cursor, limit: PAGE }, (reply) => {
        // A host gets the lobby before the reply to this. Whoever has not got it by now will not.
        if (!this.#hasLobby) this.#owner.tell(view.setLobby([]));
        this.#hasLobby = true;
        settle(reply);
      });
    };
    catchUp.read(view, list, this.#owner.tell);
  }

  /**
   * Send a request of the client's own; its reply is ignored when the visit is over by then.
   *
   * @param {string} type
   * @param {Record<string, unknown>} fields
   * @param {(reply: Frame) => void} settle
   */
  #ask(type, fields, settle) {
    return this.connection.ask(type, fields, (reply) => {
      if (reply !== null && !this.#isOver) settle(reply);
    });
  }
}
