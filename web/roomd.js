/**
 * A client for roomd (the protocol roomd/1, see docs/protocol.md): one room, kept in view however often the network goes.
 *
 * Three parts, from the pure to the worldly:
 *
 * - `View` is what a client knows of a room. Frames go in, the news that follow from them come out. It reads no clock
 *   and sends nothing; when the events it was given do not follow on each other it says so (`isStale`).
 * - `Link` is one WebSocket: requests and their replies, and whether anybody is still there. It ends once, with a code.
 * - `Meeting` is the stay of one person: it makes links, takes the seat back on each new one, and tells the news.
 *
 *     status        | a link is there | what is sent on a new link   | goes to
 *     --------------|-----------------|------------------------------|----------------------------------------------
 *     new           | no              |                              | connecting
 *     connecting    | being made      | join-room                    | joined, waiting; over, when refused or unreachable
 *     waiting       | yes             |                              | joined, reconnecting, over
 *     joined        | yes             |                              | reconnecting, over
 *     reconnecting  | no, or in the   | resume; join-room when the   | joined, waiting, over
 *                   | making          | seat is held no longer (410) |
 *     over          | no              |                              | connecting, by another join()
 *
 * Frames are handled synchronously, in the order they come: some WebSockets deliver several of them in one go, and a
 * reply that waited for a promise's turn would be handled after the event that follows it.
 *
 * @module roomd
 */

const MESSAGES = 500; // kept in view
const PAGE = 200; // messages asked for at once, the most there are to have
const PAGES = 20; // of messages that one coming-back catches up on; what is more is missed, and said to be

// Milliseconds, as `setTimeout` takes them.
const OPENING = 10_000; // until the connection must be open, then until the first reply, and until the seat is had
const IDLE = 12_000; // of silence, after which a ping asks whether anybody is there
const ANSWER = 5_000; // until something must have been heard after that
const DOUBT = 3_000; // the same, when the system says that the network has changed
const FAREWELL = 2_000; // until a `leave-room` that is not answered is left at that
const TOKEN = 20_000; // until a token must be there
const STABLE = 10_000; // a connection that lasted this long was a good one
const FIRST_RETRY = 500;
const LAST_RETRY = 30_000;
const LATER = 5_000; // at the least, where the protocol says "later"
const LONGEST = 3600; // seconds a server is left alone, however long it asks for; `setTimeout` ends at 2^31 ms

const BAD_TOKENS = 3; // in a row, after which a token function is asked no more

/** Closes after which coming back makes no sense, or not as this client (docs/protocol.md, section 9). */
const FINAL = new Map([
  [1003, ["bad_frame", "The server did not understand this client"]],
  [1007, ["bad_frame", "The server did not understand this client"]],
  [1009, ["bad_frame", "A message was too long for the server"]],
  [4403, ["removed", "You were removed from this room"]],
  [4409, ["taken_over", "You joined from somewhere else"]],
]);

/**
 * One person's stay in a room.
 *
 * @typedef {object} Participant
 * @property {string} id
 * @property {string} roomId
 * @property {string | null} userId Null for guests.
 * @property {string | null} guestName Null for users.
 * @property {boolean} isActive A connection is there now; false while the seat is held for one that dropped.
 * @property {boolean} isHost
 * @property {string} joinedAt ISO 8601.
 * @property {string | null} leftAt Null while the participant holds a seat.
 * @property {string} displayName The name to show. Text, never markup.
 * @property {State} state The participant's own presence, as it last told it.
 */

/**
 * Presence, like `{muted: true}`: at most 16 keys, 1 KiB of JSON.
 *
 * @typedef {Record<string, string | number | boolean>} State
 */

/**
 * A room, as everybody in it sees it.
 *
 * @typedef {object} Room
 * @property {string} id
 * @property {string} code Like `abc-def-ghi`.
 * @property {string} name
 * @property {string} hostId The user id of the host.
 * @property {boolean} isActive
 * @property {boolean} isLocked
 * @property {number} maxParticipants
 * @property {boolean} allowGuestAccess
 * @property {boolean} waitingRoom Newcomers wait until the host admits them.
 * @property {number} participantCount Seats, held ones included.
 * @property {string} createdAt ISO 8601.
 * @property {string | null} endedAt
 */

/**
 * Something said in a room.
 *
 * @typedef {object} Message
 * @property {string} id
 * @property {string} participantId Who said it.
 * @property {string} displayName The name of who said it.
 * @property {string} text Text, never markup.
 * @property {string} sentAt ISO 8601.
 * @property {string | null} to The one participant it was for; null when it was for everyone.
 */

/**
 * Somebody who waits to be let in, as hosts see it.
 *
 * @typedef {object} Waiting
 * @property {string} participantId
 * @property {string | null} userId
 * @property {string | null} guestName
 * @property {string} displayName
 * @property {boolean} isActive A connection is there now.
 * @property {number} position From 1, in the order people came.
 * @property {WaitReason} reason
 * @property {string} waitingSince ISO 8601.
 */

/**
 * What somebody waits for: the host, or a seat.
 *
 * @typedef {"waiting_room" | "room_full"} WaitReason
 */

/**
 * Where this client itself waits.
 *
 * @typedef {object} Place
 * @property {string} participantId The id the participant will have.
 * @property {number} position From 1, in the order people came.
 * @property {WaitReason} reason
 */

/**
 * A user who cannot come back to a room.
 *
 * @typedef {object} Ban
 * @property {string} userId
 * @property {string} displayName
 * @property {string | null} reason
 * @property {string} bannedAt ISO 8601.
 */

/**
 * A STUN or TURN server, as `RTCPeerConnection` takes it.
 *
 * @typedef {object} IceServer
 * @property {string[]} urls
 * @property {string} [username]
 * @property {string} [credential]
 */

/**
 * A frame of the protocol.
 *
 * @typedef {{type: string, id?: number | string | null, [key: string]: any}} Frame
 */

/** @typedef {"new" | "connecting" | "joined" | "waiting" | "reconnecting" | "over"} Status */

/**
 * The events of a `Meeting` and what stands in their `detail`.
 *
 * @typedef {object} MeetingEvents
 * @property {{}} change Anything that can be seen has changed; comes after the events that say what.
 * @property {{status: Status, retryIn?: number}} status `retryIn`: seconds until the next attempt, while there is none.
 * @property {{participant: Participant}} joined Somebody else came in.
 * @property {{participant: Participant}} updated Somebody else changed: presence, or the connection went or came.
 * @property {{participant: Participant}} left Somebody else left.
 * @property {{message: Message}} message Something was said, by this client too.
 * @property {{after: string | null, before: string | null}} messages-missed So much was said while this client was away
 *   that it did not read it: what lies between the messages with these ids. `messages` begins after the gap;
 *   `listMessages({cursor: after})` reads what is in it. Null: from the first message on, or to the last.
 * @property {{from: string, data: any}} signal Another participant passed something on.
 * @property {{room: Room}} room The room's settings changed.
 * @property {{place: Place}} place Position or reason changed while this client waits.
 * @property {{waiting: Waiting[]}} lobby Who waits has changed; for hosts.
 * @property {{}} mute-requested A host asks this client to mute itself.
 * @property {{code: string, reason: string, said: string | null}} over The end. `code`: "left", "room_ended",
 *   "removed", "denied", "taken_over", "bad_token", "unreachable", "bad_frame", or else the server's code of a refusal,
 *   like "room_locked"; `reason`: words for people; `said`: the host's own, when removed with some.
 */

/**
 * @template D
 * @typedef {Event & {readonly detail: D}} MeetingEvent
 */

/**
 * @template D
 * @typedef {((event: MeetingEvent<D>) => void) | {handleEvent(event: MeetingEvent<D>): void}} MeetingListener
 */

/**
 * `EventTarget`, with the events of a `Meeting`.
 *
 * @typedef {{
 *   addEventListener<K extends keyof MeetingEvents>(type: K, listener: MeetingListener<MeetingEvents[K]> | null,
 *     options?: boolean | {once?: boolean, passive?: boolean, capture?: boolean, signal?: AbortSignal}): void,
 *   addEventListener(type: string, listener: MeetingListener<any> | null,
 *     options?: boolean | {once?: boolean, passive?: boolean, capture?: boolean, signal?: AbortSignal}): void,
 *   removeEventListener<K extends keyof MeetingEvents>(type: K, listener: MeetingListener<MeetingEvents[K]> | null,
 *     options?: boolean | {capture?: boolean}): void,
 *   removeEventListener(type: string, listener: MeetingListener<any> | null,
 *     options?: boolean | {capture?: boolean}): void,
 *   dispatchEvent(event: Event): boolean,
 * }} MeetingTarget
 */

/**
 * What is used of a WebSocket.
 *
 * @typedef {object} Socket
 * @property {number} readyState
 * @property {(data: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 * @property {{bivariant(type: any, listener: (event: any) => void): void}["bivariant"]} addEventListener
 */

/** @typedef {new (url: string, protocols: string[]) => Socket} SocketClass */

/**
 * Time, as a `Meeting` needs it. `now` is in milliseconds and never runs backwards.
 *
 * @typedef {object} Clock
 * @property {() => number} now
 * @property {(callback: () => void, milliseconds: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/**
 * What is used of `window` and `document`, as far as there are any.
 *
 * @typedef {object} Hints
 * @property {(type: string, listener: () => void) => void} addEventListener
 * @property {(type: string, listener: () => void) => void} removeEventListener
 * @property {string} [visibilityState]
 */

/**
 * @typedef {object} Options
 * @property {string} code The room's code.
 * @property {string} [guestName] 1 to 50 characters; needed without a token.
 * @property {string | (() => string | null | undefined | Promise<string | null | undefined>) | null} [token] A JWT, or
 *   a function that gets one: it is asked anew for every connection, so that one that has expired is no obstacle.
 * @property {boolean} [wait] Wait for a seat when the room is full. Default: false.
 * @property {SocketClass} [WebSocket] Default: the global one.
 * @property {number} [maxFrame] Bytes the server accepts in a frame. Default: 65,536.
 * @property {Clock} [clock] For tests.
 * @property {() => number} [random] For tests; like `Math.random`.
 * @property {Hints | null} [window] Where `online` and `offline` are heard. Default: the global one, if there is one.
 * @property {Hints | null} [document] Where `visibilitychange` is heard. Default: the global one, if there is one.
 */

/** The server said no, or could not be asked: then `statusCode` is 0. */
export class Refusal extends Error {
  /**
   * @param {number} statusCode
   * @param {string} code
   * @param {string} message
   * @param {number | null} [retryAfter]
   */
  constructor(statusCode, code, message, retryAfter = null) {
    super(message);
    this.name = "Refusal";
    /** Like that of HTTP; 0 when it does not come from the server. */
    this.statusCode = statusCode;
    /** For programs, like "room_locked". */
    this.code = code;
    /** Seconds after which trying again may help; null where it does not. */
    this.retryAfter = retryAfter;
  }
}

/**
 * Something that happened, by the name of the event that tells it.
 *
 * @typedef {{[K in keyof MeetingEvents]: {type: K, detail: MeetingEvents[K]}}[keyof MeetingEvents]} News
 */

/** What a client knows of a room. Pure: frames in, news out. Its collections are replaced, never changed. */
export class View {
  /** Names the run of the room that `seq` counts in. */
  epoch = "";
  /** The last event taken in. */
  seq = 0;
  /** @type {Room | null} */
  room = null;
  /** In the order of the room, this client's own included. @type {Map<string, Participant>} */
  participants = new Map();
  /** Public and private, oldest first. @type {Message[]} */
  messages = [];
  /** Who waits; for hosts. @type {Waiting[]} */
  lobby = [];
  /** Where this client itself waits. @type {Place | null} */
  place = null;
  /** An event is missing: only a `room-state` helps. */
  isStale = false;

  /** Its own participant, as it was when it sat down. @type {Participant | null} */
  #seat = null;
  /** Ids this client has had; of itself it tells no news. @type {Set<string>} */
  #own = new Set();

  /** This client's own participant. @returns {Participant | null} */
  get me() {
    return this.#seat && (this.participants.get(this.#seat.id) ?? this.#seat);
  }

  /**
   * Sit down; the `room-state` follows.
   *
   * @param {Participant} participant
   */
  sit(participant) {
    this.#seat = participant;
    this.#own.add(participant.id);
    this.place = null;
  }

  /**
   * Wait; who waits sees nothing of the room.
   *
   * @param {Frame} frame A `waiting`.
   * @returns {News[]}
   */
  wait({ participantId, position, reason }) {
    if (this.#seat !== null) {
      this.#seat = null;
      this.room = null;
      this.participants = new Map();
      this.lobby = [];
    }
    const place = { participantId, position, reason };
    if (same(place, this.place)) return [];
    this.place = place;
    return [{ type: "place", detail: { place } }];
  }

  /**
   * Take a frame in. Those of unknown types, and events heard before, change nothing.
   *
   * @param {Frame} frame
   * @returns {News[]}
   */
  apply(frame) {
    switch (frame.type) {
      case "room-state":
        return isState(frame) ? this.#adopt(frame) : [];
      case "participants-changed":
        return this.#follows(frame.seq, isChange(frame)) ? this.#change(frame) : [];
      case "room-updated":
        return this.#follows(frame.seq, hasId(frame.room)) ? this.#furnish(frame.room) : [];
      case "message":
        return hasId(frame.message) ? this.#hear([frame.message]) : [];
      case "waiting":
        return this.wait(frame);
      case "waiting-changed":
        return Array.isArray(frame.waiting) ? this.setLobby(frame.waiting) : [];
      case "signal":
        return [{ type: "signal", detail: { from: frame.from, data: frame.data } }];
      case "mute-requested":
        return [{ type: "mute-requested", detail: {} }];
      default:
        return [];
    }
  }

  /**
   * @param {Waiting[]} waiting
   * @returns {News[]}
   */
  setLobby(waiting) {
    if (same(waiting, this.lobby)) return [];
    this.lobby = waiting;
    return [{ type: "lobby", detail: { waiting } }];
  }

  /**
   * Put in what was said while nobody listened.
   *
   * @param {string | null} after The id of the last message before that; null when there was none.
   * @param {Message[]} said All there is after it, oldest first.
   * @returns {News[]}
   */
  catchUp(after, said) {
    const known = new Set(this.messages.map((message) => message.id));
    const listed = new Set(said.map((message) => message.id));
    const cut = this.messages.findIndex((message) => message.id === after) + 1;
    const since = this.messages.slice(cut).filter((message) => !listed.has(message.id));
    this.messages = [...this.messages.slice(0, cut), ...said, ...since].slice(-MESSAGES);
    return said.filter((message) => !known.has(message.id)).map((message) => ({ type: "message", detail: { message } }));
  }

  /**
   * Give up what was said while nobody listened: keep what follows it without a gap.
   *
   * @param {string | null} after As for `catchUp`.
   * @returns {News[]}
   */
  skip(after) {
    this.messages = this.messages.slice(this.messages.findIndex((message) => message.id === after) + 1);
    return [{ type: "messages-missed", detail: { after, before: this.messages[0]?.id ?? null } }];
  }

  /**
   * Count an event in. One that makes no sense is as good as missing.
   *
   * @param {number} seq
   * @param {boolean} isWhole
   */
  #follows(seq, isWhole) {
    if (this.room === null || this.isStale || seq <= this.seq) return false;
    this.isStale = !isWhole || seq !== this.seq + 1;
    if (!this.isStale) this.seq = seq;
    return !this.isStale;
  }

  /**
   * @param {Frame} frame A `room-state`.
   * @returns {News[]}
   */
  #adopt(frame) {
    const { room, participants } = this;
    this.epoch = frame.epoch;
    this.seq = frame.seq;
    this.isStale = false;
    this.room = frame.room;
    this.participants = new Map(frame.participants.map((/** @type {Participant} */ p) => [p.id, p]));
    if (room === null) {
      this.#hear(frame.messages ?? []);
      return [];
    }
    const now = [...this.participants.values()];
    const news = newsOf(
      now.filter(({ id }) => !participants.has(id)),
      now.filter((one) => participants.has(one.id) && !same(participants.get(one.id), one)),
      [...participants.values()].filter(({ id }) => !this.participants.has(id)),
    );
    if (!same({ ...room, participantCount: 0 }, { ...frame.room, participantCount: 0 }))
      news.push({ type: "room", detail: { room: frame.room } });
    return [...this.#withoutOwn(news), ...this.#hear(frame.messages ?? [])];
  }

  /**
   * @param {Frame} frame A `participants-changed`.
   * @returns {News[]}
   */
  #change(frame) {
    const participants = new Map(this.participants);
    for (const { id } of frame.left) participants.delete(id);
    for (const participant of [...frame.updated, ...frame.joined]) participants.set(participant.id, participant);
    this.participants = participants;
    if (this.room) this.room = { ...this.room, participantCount: participants.size };
    return this.#withoutOwn(newsOf(frame.joined, frame.updated, frame.left));
  }

  /**
   * @param {Room} room
   * @returns {News[]}
   */
  #furnish(room) {
    this.room = room;
    return [{ type: "room", detail: { room } }];
  }

  /**
   * @param {Message[]} messages
   * @returns {News[]}
   */
  #hear(messages) {
    const known = new Set(this.messages.map((message) => message.id));
    const fresh = messages.filter((message) => !known.has(message.id));
    if (fresh.length) this.messages = [...this.messages, ...fresh].slice(-MESSAGES);
    return fresh.map((message) => ({ type: "message", detail: { message } }));
  }

  /**
   * Of this client itself, say no more than that something has changed.
   *
   * @param {News[]} news
   * @returns {News[]}
   */
  #withoutOwn(news) {
    return news.map((one) =>
      "participant" in one.detail && this.#own.has(one.detail.participant.id) ? { type: "change", detail: {} } : one,
    );
  }
}

/**
 * Messages may be missing: after the one with the id `after`, or from the first on. `isNews`: those are told one by one.
 *
 * @typedef {{after: string | null, isNews: boolean}} Missing
 */

/** @typedef {(reply: Frame | null) => void} Settle Takes a reply, or null when none can come any more. */

/** One WebSocket: requests and their replies, and whether anybody is still there. */
class Link {
  heardAt = 0;
  #socket;
  #clock;
  #on;
  #isOver = false;
  /** Something must be heard until `#dueAt`: a first reply, or the answer to a ping. */
  #mustHear = true;
  /** Milliseconds for that answer; null while there was no ping. @type {number | null} */
  #patience = null;
  #dueAt = 0;
  /** @type {any} */
  #timer = null;
  /** @type {Map<number, Settle>} */
  #pending = new Map();

  /**
   * @param {Socket} socket
   * @param {Clock} clock
   * @param {{open(): void, frame(frame: Frame): void, end(code: number, reason: string): void}} on
   */
  constructor(socket, clock, on) {
    this.#socket = socket;
    this.#clock = clock;
    this.#on = on;
    socket.addEventListener("open", () => this.#opened());
    socket.addEventListener("message", (event) => this.#received(event.data));
    socket.addEventListener("close", (event) => this.end(event.code ?? 1006, event.reason ?? ""));
    // `close` follows, but for some implementations not when the connection could not be made.
    socket.addEventListener("error", () => this.#isOver || this.#arm(100));
    this.#arm(OPENING);
  }

  get isOpen() {
    return !this.#isOver && this.#socket.readyState === 1;
  }

  /**
   * Send a request. The reply settles it; a `waiting` settles it for now, and leaves room for what is waited for.
   *
   * @param {number} id
   * @param {string} text The frame, with that id.
   * @param {Settle} settle
   */
  ask(id, text, settle) {
    this.#pending.set(id, settle);
    this.#socket.send(text);
  }

  /**
   * Find out whether anybody is there, now.
   *
   * @param {number} patience Milliseconds until something must be heard.
   */
  probe(patience) {
    if (!this.isOpen) return;
    if (this.#mustHear) {
      if (this.#patience !== null) this.#patience = Math.min(patience, this.#patience);
      if (this.#dueAt > this.#clock.now() + patience) this.#arm(patience);
      return;
    }
    this.#mustHear = true;
    this.#patience = patience;
    this.#socket.send('{"type":"ping"}');
    this.#arm(patience);
  }

  /**
   * Be over, once: whatever still comes is not heard.
   *
   * @param {number} code
   * @param {string} reason
   */
  end(code, reason) {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#clock.clearTimeout(this.#timer);
    try {
      this.#socket.close();
    } catch {
      // Nothing is left to close.
    }
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const settle of pending) settle(null);
    this.#on.end(code, reason);
  }

  #opened() {
    if (this.#isOver) return;
    this.#arm(OPENING);
    this.#on.open();
  }

  /** @param {unknown} data */
  #received(data) {
    if (this.#isOver) return;
    this.heardAt = this.#clock.now();
    const frame = parse(data);
    if (frame === null) return;
    // What was on its way already proves nothing about now: it earns the answer to a ping some more time, no more.
    if (this.#patience !== null && frame.type !== "pong") this.#arm(this.#patience);
    else if (this.#mustHear) {
      this.#mustHear = false;
      this.#patience = null;
    }
    const settle = typeof frame.id === "number" ? this.#pending.get(frame.id) : undefined;
    if (settle === undefined) return this.#on.frame(frame);
    if (frame.type !== "waiting") this.#pending.delete(/** @type {number} */ (frame.id));
    settle(frame);
  }

  /** @param {number} milliseconds */
  #arm(milliseconds) {
    this.#clock.clearTimeout(this.#timer);
    this.#dueAt = this.#clock.now() + milliseconds;
    this.#timer = this.#clock.setTimeout(() => this.#due(), milliseconds);
  }

  #due() {
    if (this.#mustHear || this.#socket.readyState > 1) return this.end(1006, "The server does not answer");
    const silent = this.#clock.now() - this.heardAt;
    if (silent < IDLE) this.#arm(IDLE - silent);
    else this.probe(ANSWER);
  }
}

/** @type {Clock} */
const CLOCK = {
  now: () => performance.now(),
  setTimeout: (callback, milliseconds) => setTimeout(callback, milliseconds),
  clearTimeout: (timer) => clearTimeout(timer),
};

/** @type {typeof globalThis & {WebSocket?: SocketClass, window?: Hints, document?: Hints, CustomEvent?: any}} */
const world = globalThis;

/** Node 18 has no `CustomEvent`. @type {new (type: string, init: {detail: unknown}) => Event} */
const Told =
  world.CustomEvent ??
  class extends Event {
    /**
     * @param {string} type
     * @param {{detail: unknown}} init
     */
    constructor(type, { detail }) {
      super(type);
      this.detail = detail;
    }
  };

const Target = /** @type {new () => MeetingTarget} */ (/** @type {unknown} */ (EventTarget));

/**
 * One person's stay in a room, over as many connections as it takes.
 *
 * All promises may be left alone: one that fails and is not looked at is no unhandled rejection.
 */
export class Meeting extends Target {
  #url;
  #options;
  #clock;
  #random;
  /** @type {Status} */
  #status = "new";
  #view = new View();
  /** @type {Link | null} */
  #link = null;
  /** What `join()` promised, until it is kept. @type {Deferred<void> | null} */
  #joining = null;
  /** Takes the seat, or the place in the queue, back. @type {string | null} */
  #resumeToken = null;
  /** Counted through all links: the answer to a join may come on a later one. */
  #lastId = 0;
  /** Ids under which a seat was asked for. @type {Set<number | string>} */
  #askedFor = new Set();
  /** Stands for one attempt to connect; whatever comes late from another finds that it is not its own. */
  #attempt = {};
  #failures = 0;
  #attachedAt = 0;
  /** @type {any} */
  #retryTimer = null;
  /** @type {any} */
  #tokenTimer = null;
  /** Runs out when a seat was asked for and neither it nor a place in the queue has come. @type {any} */
  #seatTimer = null;
  /** @type {any} */
  #catchUpTimer = null;
  /** Seconds the server asked to be left alone. @type {number | null} */
  #retryAfter = null;
  /** @type {string | null} */
  #token = null;
  /** @type {string | null} */
  #refusedToken = null;
  #badTokens = 0;
  #isRefreshing = false;
  #heardOfLobby = false;
  /** @type {Missing | null} */
  #missing = null;
  /** Presence told, which the view may not show yet. @type {Record<string, string | number | boolean | null>} */
  #granted = {};
  /** Presence not told yet. @type {Record<string, string | number | boolean | null>} */
  #wishes = {};
  /** @type {Deferred<Frame>[]} */
  #wishers = [];

  /**
   * @param {string} url Like `wss://meet.example/ws`.
   * @param {Options} options
   */
  constructor(url, options) {
    super();
    this.#url = url;
    this.#options = options;
    this.#clock = options.clock ?? CLOCK;
    this.#random = options.random ?? Math.random;
  }

  get status() {
    return this.#status;
  }

  /** The room; null before the first `room-state`. @returns {Room | null} */
  get room() {
    return this.#view.room;
  }

  /** This client's own participant, kept current; null before it has a seat. @returns {Participant | null} */
  get me() {
    return this.#view.me;
  }

  /** Everybody, in the order of the room. A new `Map` whenever it changes. @returns {Map<string, Participant>} */
  get participants() {
    return this.#view.participants;
  }

  /** The last 500, public and private, oldest first. A new array whenever it changes. @returns {Message[]} */
  get messages() {
    return this.#view.messages;
  }

  /** Who waits; for hosts. @returns {Waiting[]} */
  get lobby() {
    return this.#view.lobby;
  }

  /** Where this client itself waits; else null. @returns {Place | null} */
  get place() {
    return this.#view.place;
  }

  get epoch() {
    return this.#view.epoch;
  }

  get seq() {
    return this.#view.seq;
  }

  /**
   * Join the room; done when a seat is had, or a place in the queue for one.
   *
   * Rejects with `Refusal`: what the server said, or `statusCode` 0 when it could not be asked. What happens later is
   * told by events. May be called again when the meeting is over.
   *
   * @returns {Promise<void>}
   */
  join() {
    if (this.#joining !== null && this.#status !== "over") return this.#joining.promise;
    const joining = (this.#joining = defer());
    this.#view = new View();
    this.#resumeToken = this.#retryAfter = this.#refusedToken = this.#missing = null;
    this.#failures = this.#badTokens = 0;
    this.#askedFor.clear();
    this.#granted = {};
    this.#listen("addEventListener");
    this.#tell(this.#turn("connecting"));
    if (this.#isFirst) this.#connect(); // unless a listener has left
    return joining.promise;
  }

  /**
   * Leave the room, or stop trying to get in; done when the server knows, as far as it can be reached.
   *
   * The request is on its way when this returns, so it may be called while a page unloads. A seat that was lost to the
   * network at this moment cannot be given up; the server holds it until its time is over.
   *
   * @returns {Promise<void>}
   */
  leave() {
    const link = this.#link;
    const left = defer();
    this.#link = null;
    if (link !== null && link.isOpen && this.#status !== "over") {
      const timer = this.#clock.setTimeout(() => link.end(1006, ""), FAREWELL);
      this.#ask(link, "leave-room", {}, () => {
        this.#clock.clearTimeout(timer);
        link.end(1000, "");
        left.resolve(undefined);
      });
    } else {
      link?.end(1000, "");
      left.resolve(undefined);
    }
    this.#finish("left", "You left");
    return left.promise;
  }

  /**
   * Ask something of the server, see docs/protocol.md.
   *
   * Rejects with `Refusal`; with the code "disconnected" when there is no connection, or none any more: then whether it
   * was done is not known.
   *
   * @param {string} type
   * @param {Record<string, unknown>} [fields]
   * @returns {Promise<Frame>} The reply.
   */
  request(type, fields = {}) {
    const { promise, resolve, reject } = defer();
    const link = this.#link;
    if (link?.isOpen && (this.#status === "joined" || this.#status === "waiting")) {
      try {
        this.#ask(link, type, fields, settleBy(resolve, reject));
      } catch (error) {
        reject(error);
      }
    } else reject(disconnected());
    return promise;
  }

  /**
   * Change the own presence, key by key; null takes a key away.
   *
   * While there is no connection the change is kept, and told as soon as there is one; so is the whole presence, when
   * the seat was lost and another one was got.
   *
   * @param {Record<string, string | number | boolean | null>} state
   * @returns {Promise<Frame>}
   */
  updateState(state) {
    /** @type {Deferred<Frame>} */
    const wisher = defer();
    if (this.#status === "new" || this.#status === "over") {
      wisher.reject(disconnected());
    } else {
      Object.assign(this.#wishes, state);
      this.#wishers.push(wisher);
      if (this.#status === "joined") this.#tellWishes();
    }
    return wisher.promise;
  }

  /**
   * Pass something on to one other participant. Refused with `participant_not_found` while that one is not connected.
   *
   * @param {string} to
   * @param {unknown} data
   */
  signal(to, data) {
    return this.request("signal", { to, data });
  }

  /**
   * Say something to everyone or, with `to`, to one participant.
   *
   * @param {string} text 1 to 2,000 characters.
   * @param {string | null} [to]
   */
  say(text, to) {
    return this.request("send-message", { text, to });
  }

  /**
   * Take a participant's seat away; with `ban` the user cannot come back. For hosts.
   *
   * @param {string} participantId
   * @param {{ban?: boolean, reason?: string}} [options]
   */
  remove(participantId, { ban, reason } = {}) {
    return this.request("remove-participant", { participantId, ban, reason });
  }

  /**
   * Ask a participant's client to mute itself. For hosts.
   *
   * @param {string} participantId
   */
  mute(participantId) {
    return this.request("mute-participant", { participantId });
  }

  /**
   * Let somebody in who waits for the host. For hosts.
   *
   * @param {string} participantId
   */
  admit(participantId) {
    return this.request("admit-participant", { participantId });
  }

  /** Let everybody in who waits for the host. For hosts. */
  admitAll() {
    return this.request("admit-all");
  }

  /**
   * Send somebody away who waits. For hosts.
   *
   * @param {string} participantId
   */
  deny(participantId) {
    return this.request("deny-participant", { participantId });
  }

  /**
   * Change the room's settings. For hosts.
   *
   * @param {{name?: string, isLocked?: boolean, maxParticipants?: number, allowGuestAccess?: boolean,
   *   waitingRoom?: boolean}} settings
   * @returns {Promise<Frame & {room: Room}>}
   */
  updateRoom(settings) {
    return /** @type {Promise<any>} */ (this.request("update-room", { ...settings, code: this.#code }));
  }

  /**
   * End the room for everyone in it. For hosts.
   *
   * @returns {Promise<Frame & {room: Room}>}
   */
  endRoom() {
    return /** @type {Promise<any>} */ (this.request("end-room", { code: this.#code }));
  }

  /**
   * Ask for STUN and TURN servers; the credentials are good for `ttl` seconds.
   *
   * @returns {Promise<Frame & {iceServers: IceServer[], ttl: number}>}
   */
  iceServers() {
    return /** @type {Promise<any>} */ (this.request("get-ice-servers"));
  }

  /**
   * Read what was said, from the oldest on, or from after the message `cursor` on.
   *
   * @param {{cursor?: string | null, limit?: number}} [page]
   * @returns {Promise<Frame & {messages: Message[], nextCursor: string | null}>}
   */
  listMessages({ cursor, limit } = {}) {
    return /** @type {Promise<any>} */ (this.request("list-messages", { code: this.#code, cursor, limit }));
  }

  /**
   * Read who cannot come back. For hosts.
   *
   * @param {{cursor?: string | null, limit?: number}} [page]
   * @returns {Promise<Frame & {bans: Ban[], nextCursor: string | null}>}
   */
  listBans({ cursor, limit } = {}) {
    return /** @type {Promise<any>} */ (this.request("list-bans", { cursor, limit }));
  }

  /**
   * Let a user come back. For hosts.
   *
   * @param {string} userId
   */
  unban(userId) {
    return this.request("unban", { userId });
  }

  get #code() {
    return this.#options.code;
  }

  // Connecting.

  async #connect() {
    const attempt = (this.#attempt = {});
    let socket;
    try {
      const Class = this.#options.WebSocket ?? world.WebSocket;
      if (Class === undefined) throw new Error("There is no global WebSocket here: give one as the option WebSocket");
      this.#token = await this.#askForToken();
      if (attempt !== this.#attempt) return;
      if (this.#token !== null && this.#token === this.#refusedToken)
        return this.#finish("bad_token", "The token was not accepted", notAccepted());
      socket = new Class(this.#url, ["roomd.v1"]);
    } catch (error) {
      if (attempt === this.#attempt) this.#failed(error instanceof Error ? error.message : String(error));
      return;
    }
    const link = new Link(socket, this.#clock, {
      open: () => this.#isCurrent(link) && this.#attach(link),
      frame: (frame) => this.#isCurrent(link) && this.#take(link, frame),
      end: (code, reason) => this.#isCurrent(link) && this.#dropped(code, reason),
    });
    this.#link = link;
  }

  /** @returns {Promise<string | null>} */
  async #askForToken() {
    const { token } = this.#options;
    if (typeof token !== "function") return token ?? null;
    /** @type {any} */
    let timer;
    const late = new Promise((_, reject) => {
      timer = this.#tokenTimer = this.#clock.setTimeout(() => reject(new Error("No token could be had")), TOKEN);
    });
    try {
      return (await Promise.race([token(), late])) ?? null;
    } finally {
      this.#clock.clearTimeout(timer); // another attempt may have its own by now
    }
  }

  /** @param {Link} link */
  #isCurrent(link) {
    return link === this.#link;
  }

  /**
   * Say who asks, and ask for the seat, both at once: requests are served in order, and none after a bad token.
   *
   * @param {Link} link
   */
  #attach(link) {
    if (this.#token !== null)
      this.#ask(link, "authenticate", { token: this.#token }, (reply) => {
        if (reply?.type === "error" && this.#isCurrent(link)) this.#refused(refusalOf(reply));
      });
    if (this.#resumeToken === null) return this.#askForSeat(link);
    this.#askedFor.add(
      this.#ask(link, "resume", { resumeToken: this.#resumeToken }, (reply) => {
        if (reply === null || !this.#isCurrent(link)) return;
        if (reply.type === "error" && reply.code === "seat_expired") {
          this.#resumeToken = null;
          this.#askForSeat(link);
        } else if (reply.type === "error" && reply.code === "banned") {
          // Removed while away, by a ban or without one: what a `removed` would have said.
          this.#finish("removed", reply.message, refusalOf(reply));
        } else this.#answered(link, reply);
      }),
    );
    this.#expectSeat(link);
  }

  /**
   * See to it that the connection ends, rather than nothing at all happens, when no seat comes.
   *
   * @param {Link} link
   */
  #expectSeat(link) {
    this.#clock.clearTimeout(this.#seatTimer);
    this.#seatTimer = this.#clock.setTimeout(() => link.end(1006, "The server does not answer"), OPENING);
  }

  /** @param {Link} link */
  #askForSeat(link) {
    const { code, guestName, wait } = this.#options;
    const fields = { code, guestName, wait: wait || undefined };
    const answered = (/** @type {Frame | null} */ reply) => {
      if (reply !== null && this.#isCurrent(link)) this.#answered(link, reply);
    };
    this.#askedFor.add(this.#ask(link, "join-room", fields, answered));
    this.#expectSeat(link);
  }

  /**
   * Take the answer to a request for a seat, at once or after a wait.
   *
   * @param {Link} link
   * @param {Frame} reply
   */
  #answered(link, reply) {
    if (reply.type === "error") return this.#refused(refusalOf(reply));
    this.#resumeToken = reply.resumeToken ?? this.#resumeToken;
    this.#heardOfLobby = false;
    if (reply.type === "participant") return this.#sit(link, reply.participant);
    if (reply.type !== "waiting") return;
    this.#clock.clearTimeout(this.#seatTimer);
    const news = this.#view.wait(reply);
    this.#tell([...this.#settled("waiting"), ...news]);
    this.#joining?.resolve(undefined);
  }

  /**
   * Have a seat. The `room-state` follows.
   *
   * @param {Link} link
   * @param {Participant} participant
   */
  #sit(link, participant) {
    if (!hasId(participant)) return;
    if (this.#status === "waiting") this.#expectSeat(link);
    const before = this.#view.me;
    this.#view.sit(participant);
    if (before !== null && before.id !== participant.id)
      this.#wishes = { ...before.state, ...this.#granted, ...this.#wishes };
  }

  /**
   * Be connected, and in.
   *
   * @param {Status} status
   */
  #settled(status) {
    this.#attachedAt = this.#clock.now();
    this.#retryAfter = this.#refusedToken = null;
    this.#badTokens = 0;
    return this.#turn(status);
  }

  // Being in.

  /**
   * @param {Link} link
   * @param {Frame} frame
   */
  #take(link, frame) {
    switch (frame.type) {
      case "room-state":
        return this.#enter(link, frame);
      case "participant":
        // Let in. The id is that of the join, which may have been sent on another connection.
        if (frame.resumeToken && this.#status === "waiting") this.#answered(link, frame);
        return;
      case "error":
        if (frame.id != null && this.#askedFor.has(frame.id)) this.#refused(refusalOf(frame));
        return;
      case "room-ended":
        return this.#finish("room_ended", "The room was ended");
      case "removed":
        return this.#finish("removed", frame.reason || "You were removed from this room", undefined, frame.reason || null);
      case "server-restarting":
        this.#retryAfter = secondsOf(frame.retryAfter);
        return;
      case "waiting-changed":
        this.#heardOfLobby = true;
    }
    if (frame.type === "waiting" && this.#status !== "waiting") return;
    this.#tell(this.#view.apply(frame));
    if (this.#view.isStale) this.#refresh(link);
  }

  /**
   * Take the whole room in: after a join, a resume, or a gap.
   *
   * @param {Link} link
   * @param {Frame} state
   */
  #enter(link, state) {
    if (this.#view.me === null || !isState(state)) return;
    this.#clock.clearTimeout(this.#seatTimer);
    this.#isRefreshing = false;
    const isBack = this.#view.room !== null;
    const isReading = this.#status === "joined" && this.#missing !== null;
    // When the last catching-up was cut off, what it was after is missing still.
    if (isBack && this.#missing === null) this.#missing = { after: this.#view.messages.at(-1)?.id ?? null, isNews: true };
    const news = this.#view.apply(state);
    if (this.#status === "joined") {
      this.#tell(news);
      if (this.#missing !== null && !isReading && this.#isCurrent(link)) this.#catchUp(link, this.#missing);
      return;
    }
    this.#tell([...this.#settled("joined"), ...news]);
    this.#joining?.resolve(undefined);
    if (!this.#isCurrent(link)) return; // a listener has left
    this.#tellWishes();
    // A user may have had private messages here before this client came.
    if (!isBack && this.#view.me.userId !== null)
      this.#missing = { after: this.#view.messages[0]?.id ?? null, isNews: false };
    if (this.#missing !== null) this.#catchUp(link, this.#missing);
  }

  /**
   * Mend a gap: joining the room one is in is answered with its whole state.
   *
   * @param {Link} link
   */
  #refresh(link) {
    if (this.#isRefreshing || !this.#isCurrent(link)) return;
    this.#isRefreshing = true;
    const { code, guestName } = this.#options;
    this.#ask(link, "join-room", { code, guestName }, (reply) => {
      if (!this.#isCurrent(link) || reply === null) return;
      if (reply.type === "error") return this.#refused(refusalOf(reply));
      this.#resumeToken = reply.resumeToken ?? this.#resumeToken;
      this.#sit(link, reply.participant);
    });
    this.#expectSeat(link);
  }

  /**
   * Read what was said meanwhile: the `room-state` has only the last messages, and no private ones.
   *
   * @param {Link} link
   * @param {Missing} missing
   */
  #catchUp(link, { after, isNews }) {
    /** @type {Message[]} */
    const said = [];
    let pages = 0;
    const done = (/** @type {News[]} */ news) => {
      this.#missing = null;
      this.#tell(news);
    };
    const read = (/** @type {News[]} */ news) => done(isNews || !news.length ? news : [{ type: "change", detail: {} }]);
    const ask = (/** @type {string | null} */ cursor) => {
      this.#ask(link, "list-messages", { code: this.#code, cursor, limit: PAGE }, (reply) => {
        if (reply === null || !this.#isCurrent(link)) return;
        // Hosts hear who waits when they come in. Who has heard nothing by now does not have to.
        if (!this.#heardOfLobby) this.#tell(this.#view.setLobby([]));
        this.#heardOfLobby = true;
        const later = secondsOf(reply.retryAfter);
        if (reply.type === "error" && later !== null) {
          this.#catchUpTimer = this.#clock.setTimeout(() => ask(cursor), Math.max(FIRST_RETRY, later * 1000));
          return;
        }
        const isPage = reply.type === "messages" && Array.isArray(reply.messages) && reply.messages.every(hasId);
        if (isPage) said.push(...reply.messages);
        pages += 1;
        // A page may be shorter than was asked for: only `nextCursor` says whether another one follows.
        if (isPage && reply.nextCursor == null) read(this.#view.catchUp(after, said));
        else if (isPage && pages < PAGES) ask(reply.nextCursor);
        else done(this.#view.skip(after));
      });
    };
    ask(after);
  }

  #tellWishes() {
    const link = this.#link;
    const [state, wishers] = [this.#wishes, this.#wishers];
    if (link === null || Object.keys(state).length + wishers.length === 0) return;
    this.#wishes = {};
    this.#wishers = [];
    const settle = (/** @type {Frame | null} */ reply) => {
      if (reply === null && this.#status !== "over") {
        // The connection went: the next one takes it along.
        this.#wishes = { ...state, ...this.#wishes };
        this.#wishers = [...wishers, ...this.#wishers];
        return;
      }
      if (reply?.type === "ok") Object.assign(this.#granted, state);
      for (const { resolve, reject } of wishers) settleBy(resolve, reject)(reply);
    };
    try {
      this.#ask(link, "update-participant", { state }, settle);
    } catch (error) {
      for (const { reject } of wishers) reject(error);
    }
  }

  /**
   * Send a request; answers with its id.
   *
   * @param {Link} link
   * @param {string} type
   * @param {Record<string, unknown>} fields
   * @param {Settle} settle
   */
  #ask(link, type, fields, settle) {
    const id = ++this.#lastId;
    const text = JSON.stringify({ ...fields, type, id });
    const most = this.#options.maxFrame ?? 65_536;
    // The server would close the connection. A UTF-16 unit takes at most three bytes.
    if (text.length * 3 > most && new TextEncoder().encode(text).length > most)
      throw new Refusal(0, "too_long", "This is too long to be sent");
    link.ask(id, text, settle);
    return id;
  }

  // Dropping out, for a while or for good.

  /**
   * Hear that there will be no seat on this connection.
   *
   * @param {Refusal} refusal
   */
  #refused(refusal) {
    if (refusal.statusCode === 401) return this.#badToken(refusal);
    const { statusCode, code, message, retryAfter } = refusal;
    if (this.#isFirst || (statusCode !== 429 && statusCode < 500)) return this.#finish(code, message, refusal);
    this.#retryAfter = retryAfter;
    this.#retry();
  }

  /** @param {Refusal} refusal */
  #badToken(refusal) {
    this.#badTokens += 1;
    if (typeof this.#options.token !== "function" || this.#badTokens >= BAD_TOKENS)
      return this.#finish("bad_token", refusal.message, refusal);
    this.#refusedToken = this.#token;
    if (!this.#isFirst) return this.#retry();
    this.#unlink();
    this.#connect();
  }

  /** The `join()` under way has not been answered yet. */
  get #isFirst() {
    return this.#status === "connecting";
  }

  /**
   * Hear that the connection is gone.
   *
   * @param {number} code
   * @param {string} words
   */
  #dropped(code, words) {
    const final = FINAL.get(code);
    if (final) return this.#finish(final[0], final[1]);
    if (code === 4401) return this.#badToken(notAccepted());
    if (code === 1012) this.#failures = 0; // a restart is none
    if (code === 1013 || code === 4429) this.#retryAfter ??= LATER / 1000;
    this.#failed(words || "The server could not be reached");
  }

  /** @param {string} words */
  #failed(words) {
    if (this.#isFirst) this.#finish("unreachable", words, new Refusal(0, "unreachable", words, this.#retryAfter));
    else this.#retry();
  }

  /** Try again after a while: longer each time, and not when everybody else does. */
  #retry() {
    this.#unlink();
    if (this.#attachedAt && this.#clock.now() - this.#attachedAt > STABLE) this.#failures = 0;
    this.#attachedAt = 0;
    const most = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** ++this.#failures);
    const pause = FIRST_RETRY + this.#random() * (most - FIRST_RETRY);
    const delay = Math.max(pause, (this.#retryAfter ?? 0) * 1000);
    this.#retryAfter = null;
    this.#retryTimer = this.#clock.setTimeout(() => this.#tryAgain(), delay);
    this.#status = "reconnecting";
    this.#tell([{ type: "status", detail: { status: "reconnecting", retryIn: delay / 1000 } }]);
  }

  #tryAgain() {
    this.#unlink();
    this.#tell([{ type: "status", detail: { status: "reconnecting" } }]);
    if (this.#status === "reconnecting") this.#connect(); // unless a listener has left
  }

  /** Let go of the connection, or of the attempt to make one. */
  #unlink() {
    const link = this.#link;
    this.#link = null;
    this.#attempt = {};
    this.#isRefreshing = false;
    this.#clock.clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    for (const timer of [this.#tokenTimer, this.#seatTimer, this.#catchUpTimer]) this.#clock.clearTimeout(timer);
    link?.end(1000, "");
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
    if (this.#status === "over") return;
    this.#unlink();
    this.#listen("removeEventListener");
    this.#resumeToken = null;
    const [joining, wishers] = [this.#joining, this.#wishers];
    this.#wishes = {};
    this.#wishers = [];
    this.#tell([...this.#turn("over"), { type: "over", detail: { code, reason, said } }]);
    joining?.reject(refusal ?? new Refusal(0, code, reason));
    for (const { reject } of wishers) reject(disconnected());
  }

  // What the system says about the network. It may be wrong, so it only makes a look come sooner.

  #onOnline = () => {
    if (this.#link?.isOpen) this.#link.probe(DOUBT);
    else if (this.#status === "reconnecting") this.#tryAgain();
  };

  #onOffline = () => this.#link?.probe(DOUBT);

  #onVisible = () => {
    if (this.#document?.visibilityState !== "visible") return;
    if (this.#link === null && this.#retryTimer !== null) this.#tryAgain();
    else if (this.#link && this.#clock.now() - this.#link.heardAt > DOUBT) this.#link.probe(ANSWER);
  };

  get #document() {
    return this.#options.document === undefined ? world.document : this.#options.document;
  }

  /** @param {"addEventListener" | "removeEventListener"} verb */
  #listen(verb) {
    const window = this.#options.window === undefined ? world.window : this.#options.window;
    window?.[verb]?.("online", this.#onOnline);
    window?.[verb]?.("offline", this.#onOffline);
    this.#document?.[verb]?.("visibilitychange", this.#onVisible);
  }

  // Telling.

  /**
   * @param {Status} status
   * @returns {News[]}
   */
  #turn(status) {
    if (status === this.#status) return [];
    this.#status = status;
    return [{ type: "status", detail: { status } }];
  }

  /** @param {News[]} news */
  #tell(news) {
    if (news.length === 0) return;
    for (const { type, detail } of news) if (type !== "change") this.dispatchEvent(new Told(type, { detail }));
    this.dispatchEvent(new Told("change", { detail: {} }));
  }
}

/**
 * @template T
 * @typedef {{promise: Promise<T>, resolve: (value: T) => void, reject: (error: unknown) => void}} Deferred
 */

/**
 * Make a promise that may be left alone when it fails.
 *
 * @returns {Deferred<any>}
 */
function defer() {
  /** @type {any} */
  const deferred = {};
  deferred.promise = new Promise((resolve, reject) => Object.assign(deferred, { resolve, reject }));
  deferred.promise.catch(() => {});
  return deferred;
}

/**
 * @param {(reply: Frame) => void} resolve
 * @param {(error: unknown) => void} reject
 * @returns {Settle}
 */
function settleBy(resolve, reject) {
  return (reply) => {
    if (reply === null) reject(disconnected());
    else if (reply.type === "error") reject(refusalOf(reply));
    else resolve(reply);
  };
}

function disconnected() {
  return new Refusal(0, "disconnected", "There is no connection to the room");
}

function notAccepted() {
  return new Refusal(401, "invalid_token", "The token was not accepted");
}

/** @param {Frame} frame An `error`. */
function refusalOf(frame) {
  return new Refusal(frame.statusCode, frame.code, frame.message, secondsOf(frame.retryAfter));
}

/**
 * Read how long the server wants to be left alone: what is no number is no wish, and an hour is enough.
 *
 * @param {unknown} retryAfter
 */
function secondsOf(retryAfter) {
  return Number.isFinite(retryAfter) ? Math.min(LONGEST, Math.max(0, /** @type {number} */ (retryAfter))) : null;
}

/**
 * Tell who came, changed and went, in this order.
 *
 * @param {Participant[]} joined
 * @param {Participant[]} updated
 * @param {Participant[]} left
 * @returns {News[]}
 */
function newsOf(joined, updated, left) {
  return [
    ...joined.map((participant) => /** @type {const} */ ({ type: "joined", detail: { participant } })),
    ...updated.map((participant) => /** @type {const} */ ({ type: "updated", detail: { participant } })),
    ...left.map((participant) => /** @type {const} */ ({ type: "left", detail: { participant } })),
  ];
}

// Whether what a server says has the shape that is relied on; the rest of it is taken as it comes.

/** @param {any} value */
function hasId(value) {
  return typeof value?.id === "string";
}

/** @param {Frame} frame A `participants-changed`. */
function isChange({ joined, updated, left }) {
  return [joined, updated, left].every((list) => Array.isArray(list) && list.every(hasId));
}

/** @param {Frame} frame A `room-state`. */
function isState({ seq, room, participants, messages = [] }) {
  return Number.isInteger(seq) && hasId(room) && [participants, messages].every((list) => Array.isArray(list) && list.every(hasId));
}

/**
 * @param {unknown} data
 * @returns {Frame | null}
 */
function parse(data) {
  try {
    const frame = JSON.parse(/** @type {string} */ (data));
    return typeof frame?.type === "string" ? frame : null;
  } catch {
    return null;
  }
}

/**
 * Compare what came as JSON.
 *
 * @param {unknown} a
 * @param {unknown} b
 */
function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}
