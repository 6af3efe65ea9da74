// The database of the peers: better-sqlite3 with WAL and synchronous=FULL, statements prepared once.
//
// better-sqlite3 is synchronous, and a commit waits for the disk. `SqliteStore` waits in the main thread: the least
// work where many requests share a commit, as on `ws`. `SqliteThread` waits in a worker, as the documentation advises
// for slow statements: no request is delayed where they arrive one by one, as on Colyseus, and those decided meanwhile
// are the next commit. Each peer has what makes it faster.

import { readFileSync } from "node:fs";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

import Database from "better-sqlite3";

const SCHEMA = readFileSync(new URL("schema.sql", import.meta.url), "utf8");

const ROW = {
  join: ({ member: { participant: p } }) =>
    [p.roomId, p.id, p.userId, p.guestName, p.displayName, 1, Number(p.isHost), p.joinedAt],
  leave: ({ member: { gone } }) => [gone.leftAt, gone.roomId, gone.id],
  say: ({ member: { participant: p }, message: m }) => [p.roomId, m.id, p.id, p.displayName, m.text, m.sentAt],
  takeover: null, // changes who is connected, which nobody keeps
};

const rowsOf = (changes) =>
  changes.filter(({ kind }) => ROW[kind]).map((change) => [change.kind, ROW[change.kind](change)]);

const roomRows = (rooms) => rooms.map((r) => ["room",
  [r.id, r.code, r.name, r.hostId, Number(r.isActive), Number(r.isLocked), r.maxParticipants, r.createdAt]]);

const roomOf = (row) => ({ ...row, isActive: row.isActive === 1, isLocked: row.isLocked === 1 });

function open(path) {
  const db = new Database(path);
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = FULL");
  db.exec(SCHEMA);
  const statements = {
    room: db.prepare("INSERT INTO rooms VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
    join: db.prepare("INSERT INTO participants VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)"),
    leave: db.prepare("UPDATE participants SET is_active = 0, left_at = ? WHERE room_id = ? AND id = ?"),
    say: db.prepare("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)"),
  };
  const commit = db.transaction((changes) => {
    for (const [kind, row] of changes) statements[kind].run(row);
  }).immediate;
  // Seats of the last process ended with its connections.
  const restore = (now) => {
    db.prepare("UPDATE participants SET is_active = 0, left_at = ? WHERE left_at IS NULL").run(now);
    return db
      .prepare(`SELECT id, code, name, host_id AS hostId, is_active AS isActive, is_locked AS isLocked,
                max_participants AS maxParticipants, created_at AS createdAt FROM rooms`)
      .all();
  };
  return { commit, restore };
}

/** The database in this thread. */
export class SqliteStore {
  constructor(path) {
    this.db = open(path);
  }

  commit(changes) {
    this.db.commit(rowsOf(changes));
  }

  addRooms(rooms) {
    this.db.commit(roomRows(rooms));
  }

  restore() {
    return this.db.restore(new Date().toISOString()).map(roomOf);
  }
}

/** The database in a thread of its own. */
export class SqliteThread {
  #worker;
  #waiting = [];

  constructor(path) {
    this.#worker = new Worker(new URL(import.meta.url), { workerData: path });
    this.#worker.on("message", ([error, value]) => {
      const { resolve, reject } = this.#waiting.shift(); // answers come in the order of the questions
      if (error) reject(new Error(error));
      else resolve(value);
    });
    this.#worker.on("error", (error) => {
      throw error; // without its database the server is of no use
    });
  }

  #ask(...request) {
    this.#worker.postMessage(request);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  commit(changes) {
    return this.#ask("commit", rowsOf(changes));
  }

  addRooms(rooms) {
    return this.#ask("commit", roomRows(rooms));
  }

  async restore() {
    return (await this.#ask("restore", new Date().toISOString())).map(roomOf);
  }
}

if (!isMainThread) {
  const store = open(workerData);
  parentPort.on("message", ([name, value]) => {
    try {
      parentPort.postMessage([null, store[name](value)]);
    } catch (error) {
      parentPort.postMessage([error.message]);
    }
  });
}
