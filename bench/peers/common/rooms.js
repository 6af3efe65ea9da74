// The rules of joining and leaving, in memory, and commits in groups. The same for every peer on Node.
//
// One process has all rooms, as roomd does, so requests are decided in memory and then stored. What was decided while the
// last commit ran is committed together, and sent to clients only after that: a participant that a client knows of
// survives kill -9.

import { randomBytes, randomInt } from "node:crypto";

import { createVerifier } from "fast-jwt";

const REFUSALS = {
  guest_name_required: [400, "guestName is required"],
  invalid_guest_name: [400, "guestName must be 1 to 50 printable characters"],
  room_not_found: [404, "Room not found"],
  room_inactive: [400, "Room is no longer active"],
  room_locked: [403, "Room is locked"],
  room_full: [400, "Room is full"],
  not_in_room: [400, "Join a room first"],
  invalid_token: [401, "Token is not valid"],
  unavailable: [503, "Storage is unavailable, nothing was changed"],
};

export class Refusal extends Error {
  constructor(code) {
    const [statusCode, message] = REFUSALS[code];
    super(message);
    this.reply = { type: "error", statusCode, code, message };
  }
}

/** Make a function from a JWT to who shows it: `{userId, name}`. */
export function verifier(secret) {
  const verify = createVerifier({ key: secret, algorithms: ["HS256"], requiredClaims: ["sub", "exp"] });
  return (token) => {
    try {
      const { sub, name } = verify(token);
      return { userId: sub, name: name ?? sub };
    } catch {
      throw new Refusal("invalid_token");
    }
  };
}

let pool = Buffer.alloc(0);
let used = 0;

/** Draw an id that sorts by time: 24 hexadecimal digits, half time, half random. */
export function newId() {
  if (used === pool.length) [pool, used] = [randomBytes(6 * 512), 0];
  used += 6;
  return Date.now().toString(16).padStart(12, "0") + pool.toString("hex", used - 6, used);
}

function newCode() {
  const letters = Array.from({ length: 9 }, () => String.fromCharCode(97 + randomInt(26))).join("");
  return `${letters.slice(0, 3)}-${letters.slice(3, 6)}-${letters.slice(6)}`;
}

function guestNameOf(name) {
  if (name === undefined || name === null) throw new Refusal("guest_name_required");
  const trimmed = String(name).trim().normalize("NFC");
  // Code points count, and there are never more of them than UTF-16 units.
  const isLong = trimmed.length > 50 && [...trimmed].length > 50;
  const isOdd = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(trimmed);
  if (!trimmed || isLong || isOdd) throw new Refusal("invalid_guest_name");
  return trimmed;
}

export class Rooms {
  #rooms = new Map();
  #waiting = [];
  #isBusy = false;

  /**
   * `store.commit(changes)` keeps a group of changes in one transaction, with or without a promise;
   * `tell(room, joined, left)` then tells a room's members who came and who went, as two sets of members.
   */
  constructor(store, tell) {
    this.store = store;
    this.tell = tell;
  }

  /** Open the rooms the database knows. */
  restore(rows) {
    for (const row of rows)
      this.#rooms.set(row.code, { ...row, seats: 0, seq: 0, users: new Map(), members: new Map() });
  }

  /** Create rooms; resolves to their rows once these are committed. */
  async create(count, max, isLocked = false, isActive = true) {
    const rows = Array.from({ length: count }, () => ({
      id: newId(), code: newCode(), name: "Room", hostId: "bench", isActive, isLocked, maxParticipants: max,
      createdAt: new Date().toISOString(),
    }));
    await this.store.addRooms(rows);
    this.restore(rows);
    return rows;
  }

  /**
   * Take a seat for `who` (`{userId, name}`, or null for a guest of `guestName`) and return the member, or throw a
   * `Refusal`. `done(error, previous)` is called when the seat is committed, before the room is told; `previous` is the
   * connection the same user had the seat with, which loses it.
   */
  join(code, who, guestName, connection, done) {
    const name = who ? who.name : guestNameOf(guestName);
    const room = this.#rooms.get(code);
    if (!room) throw new Refusal("room_not_found");
    if (!room.isActive) throw new Refusal("room_inactive");
    const seated = who && room.users.get(who.userId);
    if (seated) {
      const previous = seated.connection;
      seated.connection = connection;
      this.#add({ kind: "takeover", member: seated, previous, done: (error) => done(error, previous) });
      return seated;
    }
    if (room.isLocked) throw new Refusal("room_locked");
    if (room.seats >= room.maxParticipants) throw new Refusal("room_full");
    const member = { room, connection, isLeaving: false, gone: null, participant: {
      id: newId(), roomId: room.id, userId: who ? who.userId : null, guestName: who ? null : name, isActive: true,
      isHost: who?.userId === room.hostId, joinedAt: new Date().toISOString(), leftAt: null, displayName: name,
    } };
    room.seats++;
    if (who) room.users.set(who.userId, member);
    this.#add({ kind: "join", member, done });
    return member;
  }

  /** Give a seat up; `done(error)` is called when that is committed, and `member.gone` is the participant then. */
  leave(member, done) {
    if (!member || member.isLeaving) throw new Refusal("not_in_room");
    const { room, participant } = member;
    member.isLeaving = true;
    room.seats--;
    if (room.users.get(participant.userId) === member) room.users.delete(participant.userId);
    member.gone = { ...participant, isActive: false, leftAt: new Date().toISOString() };
    this.#add({ kind: "leave", member, done });
  }

  /** Keep what a member says; `done(error, message)` is called when it is committed. */
  say(member, text, done) {
    if (!member || member.isLeaving) throw new Refusal("not_in_room");
    const { id: participantId, displayName } = member.participant;
    const sentAt = new Date().toISOString();
    const message = { id: newId(), participantId, displayName, text: String(text), sentAt, to: null };
    this.#add({ kind: "say", member, message, done: (error) => done(error, message) });
  }

  /** Find who a signal is for. */
  member(from, id) {
    return from?.room.members.get(id);
  }

  #add(change) {
    this.#waiting.push(change);
    // After the poll phase: all requests that this iteration of the event loop has read go into one commit.
    if (!this.#isBusy) {
      this.#isBusy = true;
      setImmediate(() => this.#commit());
    }
  }

  async #commit() {
    const changes = this.#waiting;
    this.#waiting = [];
    let error = null;
    try {
      const committing = this.store.commit(changes);
      if (committing) await committing;
    } catch (exc) {
      console.error(exc);
      error = new Refusal("unavailable");
    }
    if (error) this.#undo(changes, error);
    else this.#apply(changes);
    if (this.#waiting.length) setImmediate(() => this.#commit());
    else this.#isBusy = false;
  }

  #apply(changes) {
    const told = new Map();
    for (const { kind, member } of changes) {
      if (kind !== "join" && kind !== "leave") continue;
      const { room, participant } = member;
      let change = told.get(room);
      if (!change) told.set(room, (change = { joined: new Set(), left: new Set() }));
      if (kind === "join") {
        room.members.set(participant.id, member);
        change.joined.add(member);
      } else {
        room.members.delete(participant.id);
        if (!change.joined.delete(member)) change.left.add(member);
      }
    }
    for (const change of changes) change.done(null);
    for (const [room, { joined, left }] of told) {
      if (joined.size + left.size === 0) continue;
      room.seq++;
      this.tell(room, joined, left);
    }
  }

  #undo(changes, error) {
    for (const { kind, member, previous, done } of changes.reverse()) {
      const { room, participant } = member;
      if (kind === "join") {
        room.seats--;
        if (room.users.get(participant.userId) === member) room.users.delete(participant.userId);
      } else if (kind === "leave") {
        room.seats++;
        member.isLeaving = false;
        if (participant.userId !== null) room.users.set(participant.userId, member);
      } else if (kind === "takeover") member.connection = previous;
      done(error);
    }
  }
}

/** What a client sees of a room. */
export function roomView(room) {
  const { id, code, name, hostId, isActive, isLocked, maxParticipants, createdAt } = room;
  return {
    id, code, name, hostId, isActive, isLocked, maxParticipants, allowGuestAccess: true, waitingRoom: false,
    participantCount: room.members.size, createdAt, endedAt: null,
  };
}
