/**
 * The mesh: one RTCPeerConnection with every other participant, negotiated through roomd's `signal`.
 *
 * Between two participants there is one **link** at a time. Each has a `generation`, which every signal carries. Of each
 * pair the one with the lower participant id **leads**: only the leader begins a generation, so the two always agree on
 * the current one; the other asks for a new one with `restart`. A signal of another generation is late and ignored.
 * Within a generation both may offer at any time, by the pattern of perfect negotiation (WebRTC 1.0, section 10.7);
 * the leader is the impolite peer.
 *
 * A link has an audio and a video transceiver from its first offer on. Tracks are changed by `replaceTrack`, so a
 * camera that is switched on, or a screen that is shared instead, needs no negotiation.
 *
 * A link fails in three ways. Its media fail: ICE is restarted, through the server. The server refuses a signal, because
 * the peer is away (404), or a signal is lost with a connection: the link is **broken**, and begins again when both are
 * there. Or nobody answers: the peer may be a program without media, so after a few attempts the mesh closes the link and
 * begins none with this peer, until the peer sends a signal itself.
 *
 * A page carries a limited number of links. Beyond them it begins none and answers no offer. When a link ends, the mesh
 * begins one with somebody who has none.
 */

import { Refusal } from "./client/roomd.js";
import { Link, PATIENCE } from "./link.js";

/** @import { Meeting, Participant } from "./client/roomd.js" */
/** @import { Signal } from "./link.js" */

/** How many links are begun with a peer that does not answer. */
const TRIES = 3;
/** How many links there may be at a time. Each sends the own video once more: more is too much for a usual computer. */
const MOST_LINKS = 24;
/** How many links may be made with a peer in `WINDOW` milliseconds: its program must not exhaust this one. */
const MOST = 10;
const WINDOW = 10_000;
/** The share of their time to live after which ICE servers are asked for again. */
const FRESH = 0.8;
/** Milliseconds until ICE servers are asked for again after a failure. */
const ICE_RETRY = 30_000;

/** Events: `stream` {id, stream}: what a participant sends; null when it ended, and when there will be none. */
export class Mesh extends EventTarget {
  /**
   * @param {Meeting} meeting joined or about to be; the mesh follows it from now on
   * @param {boolean} isBack whether others may have links with this participant that an earlier page began
   */
  constructor(meeting, isBack) {
    super();
    this._meeting = meeting;
    this._isBack = isBack;
    this._me = "";
    /** @type {Map<string, Link>} */
    this._links = new Map();
    /** @type {Map<string, number>} how often a link with a peer was begun or asked for since it last answered */
    this._tries = new Map();
    /** @type {Set<string>} peers with an offer that was not answered, because there were too many links */
    this._refused = new Set();
    /** @type {Set<string>} leaders whose first offer has not come yet */
    this._expected = new Set();
    /** @type {Map<string, number[]>} when links were made with a peer lately */
    this._made = new Map();
    /** @type {Record<"audio" | "video", MediaStreamTrack | null>} */
    this.tracks = { audio: null, video: null };
    /** @type {RTCConfiguration} */
    this.configuration = { iceServers: [] };
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._refresh = undefined;
    this._closed = new AbortController();
    const signal = this._closed.signal;
    /** @type {(type: string, listener: (event: CustomEvent) => void) => void} */
    const on = (type, listener) => meeting.addEventListener(type, /** @type {EventListener} */ (listener), { signal });
    on("status", () => this._follow());
    on("joined", () => this._meet());
    on("updated", (event) => this._seen(event.detail.participant));
    on("left", (event) => {
      this._drop(event.detail.participant.id);
      this._meet();
    });
    on("signal", (event) => this._hear(event.detail.from, event.detail.data));
    on("replaced", () => this._renew());
    on("over", () => this.close());
    /** @type {Set<string>} who had no connection at the last look */
    this._away = new Set();
    /** @type {Promise<void>} settled once the ICE servers are known, or cannot be got */
    this._ready = Promise.resolve();
    this._joined = false;
    this._follow();
  }

  /**
   * Send a track to everyone from now on, or nothing of its kind.
   * @param {"audio" | "video"} kind
   * @param {MediaStreamTrack | null} track
   */
  setTrack(kind, track) {
    this.tracks[kind] = track;
    for (const link of this._links.values()) link.sendTracks();
  }

  /**
   * Whether there is no link with a participant, and none is about to begin.
   * @param {string} id
   */
  isWithout(id) {
    return id !== this._me && !this._links.has(id) && (this._isFull || this._isSilent(id));
  }

  /** Close every connection. Closing twice is fine. */
  close() {
    this._closed.abort();
    clearTimeout(this._refresh);
    for (const id of [...this._links.keys()]) this._drop(id);
  }

  /** Begin links after the first join, and whenever the meeting is joined again. */
  _follow() {
    const me = this._meeting.me;
    const joined = this._meeting.status === "joined" && me !== null && !me.isHidden; // who is hidden may send no signals
    if (joined === this._joined) return;
    this._joined = joined;
    if (!joined || !me) return;
    const returned = this._me === me.id;
    if (!returned) for (const id of [...this._links.keys()]) this._drop(id); // another seat: the others do not know these links
    this._me = me.id;
    this._tries.clear();
    if (!returned) this._ready = this._fetchServers();
    void this._ready.then(() => {
      if (returned || this._isBack) this._renew();
      this._meet();
    });
  }

  /** Begin each link again that is not well: signals may have been lost. */
  _renew() {
    for (const [id, person] of this._meeting.participants) {
      if (id !== this._me && person.isActive && !this._links.get(id)?.isWell) this._try(id);
    }
  }

  /** Begin a link with everyone who is there and has none, as far as there may be more. */
  _meet() {
    void this._ready.then(() => {
      for (const [id, person] of this._meeting.participants) {
        if (this._isFull) return;
        if (!person.isActive || id === this._me || this._links.has(id) || this._isSilent(id)) continue;
        if (this._leads(id) || this._refused.delete(id)) this._try(id);
        else this._expect(id);
      }
    });
  }

  /**
   * Wait for the first offer of a leader, as long as for the answers of others.
   * @param {string} id
   */
  _expect(id) {
    if (this._expected.has(id)) return;
    this._expected.add(id);
    setTimeout(() => {
      const isHere = this._expected.delete(id) && !this._closed.signal.aborted;
      if (isHere && !this._links.has(id)) this._giveUp(id);
    }, TRIES * PATIENCE);
  }

  /**
   * Begin the link again with someone who was away, if it needs that.
   * @param {Participant} person
   */
  _seen(person) {
    if (person.id === this._me) return;
    if (!person.isActive) return void this._away.add(person.id);
    const isBack = this._away.delete(person.id);
    if (!isBack && !this._links.get(person.id)?.isBroken) return; // the second: lost and back within one event
    void this._ready.then(() => this._links.get(person.id)?.isWell || this._try(person.id));
  }

  /**
   * Begin a new generation, or ask the leader to; give up with a peer that has not answered for too often.
   * @param {string} id
   */
  _try(id) {
    if (!this._isThere(id)) return;
    if (this._isSilent(id)) return this._giveUp(id);
    this._tries.set(id, (this._tries.get(id) ?? 0) + 1);
    if (this._leads(id)) this._begin(id);
    else void this.send(id, { generation: null, restart: true });
  }

  /** @param {string} id */
  _begin(id) {
    if (this._isThere(id)) this._link(id, crypto.getRandomValues(new Uint32Array(2)).join("-"))?.begin();
  }

  /**
   * Have no link with a peer until it sends a signal.
   * @param {string} id
   */
  _giveUp(id) {
    this._links.get(id)?.close();
    this._links.delete(id);
    this._tries.set(id, TRIES);
    this.tell("stream", { id, stream: null });
    this._meet();
  }

  /**
   * Make a link of the given generation, instead of the one there is; null if there are too many, or too many were made
   * lately.
   * @param {string} id
   * @param {string} generation
   */
  _link(id, generation) {
    const before = this._links.get(id);
    if (!before) this.tell("stream", { id, stream: null }); // nothing yet, or never
    if (!before && this._isFull) return null;
    const now = performance.now();
    const made = (this._made.get(id) ?? []).filter((at) => at > now - WINDOW);
    if (made.length >= MOST) return null;
    this._made.set(id, [...made, now]);
    before?.close();
    const link = new Link(this, id, generation, !this._leads(id));
    this._links.set(id, link);
    return link;
  }

  /** @param {string} id */
  _drop(id) {
    this._links.get(id)?.close();
    this._links.delete(id);
    this._tries.delete(id);
    this._refused.delete(id);
    this._expected.delete(id);
    this._made.delete(id);
    this._away.delete(id);
    this.tell("stream", { id, stream: null });
  }

  /**
   * @param {string} from
   * @param {unknown} data may be anything: it comes from another person's program
   */
  async _hear(from, data) {
    await this._ready;
    const signal = /** @type {Signal | null} */ (typeof data === "object" ? data : null);
    if (!signal || this._closed.signal.aborted || !this._meeting.participants.has(from) || from === this._me) return;
    if (signal.restart) {
      if (this._leads(from)) this._begin(from); // also with one that has not answered: once for each request
      return;
    }
    if (typeof signal.generation !== "string") return;
    let link = this._links.get(from) ?? null;
    if (link?.generation !== signal.generation) {
      if (this._leads(from) || signal.description?.type !== "offer") return;
      if (this._isFull && !link) this._refused.add(from);
      link = this._link(from, signal.generation);
    }
    this._tries.delete(from);
    link?.hear(signal);
  }

  /**
   * Send a signal; again while the server refuses it for now (429).
   * @param {string} to
   * @param {Signal} signal
   * @returns {Promise<boolean>} whether it was delivered
   */
  async send(to, signal) {
    while (!this._closed.signal.aborted) {
      try {
        await this._meeting.signal(to, signal);
        return true;
      } catch (error) {
        if (!(error instanceof Refusal && error.statusCode === 429)) return false;
        await new Promise((resolve) => setTimeout(resolve, 1000 * (error.retryAfter ?? 1)));
      }
    }
    return false;
  }

  /**
   * Handle an offer that had no answer.
   * @param {Link} link
   */
  unanswered(link) {
    if (this._links.get(link.peer) === link) this._try(link.peer);
  }

  /**
   * @param {string} type
   * @param {{id: string, [key: string]: unknown}} detail
   */
  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  get _isFull() {
    return this._links.size >= MOST_LINKS;
  }

  /** @param {string} id */
  _isSilent(id) {
    return (this._tries.get(id) ?? 0) >= TRIES;
  }

  /** @param {string} id */
  _leads(id) {
    return this._me < id;
  }

  /** @param {string} id */
  _isThere(id) {
    return this._joined && this._meeting.participants.get(id)?.isActive === true && !this._closed.signal.aborted;
  }

  /** Get the ICE servers, and get them again before the TURN credentials expire. */
  async _fetchServers() {
    clearTimeout(this._refresh);
    let wait = ICE_RETRY;
    try {
      const { iceServers, ttl } = await this._meeting.iceServers();
      this.configuration = { iceServers };
      wait = 1000 * Math.min(ttl * FRESH, 86_400);
      for (const link of this._links.values()) link.configure();
    } catch {
      // without them people on the same network still see each other
    }
    if (!this._closed.signal.aborted) this._refresh = setTimeout(() => void this._fetchServers(), wait);
  }
}
