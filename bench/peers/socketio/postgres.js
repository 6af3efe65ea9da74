// The database of the Socket.IO peer: PostgreSQL over a Unix socket.
//
// A group of changes is one statement, so one round trip, one transaction and one wait for the log, prepared once.
// `synchronous_commit` and `fsync` are on: see bench/peers/postgres.py.

import { readFileSync } from "node:fs";

import pg from "pg";

const SCHEMA = readFileSync(new URL("../common/schema.sql", import.meta.url), "utf8");

// The parts of the statement do not see each other's rows: one who joined and left in one group is inserted as left.
const COMMIT = `
WITH joins AS (
  INSERT INTO participants
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::int[],
                       $8::text[], $9::text[])
), leaves AS (
  UPDATE participants AS p SET is_active = 0, left_at = gone.left_at
  FROM unnest($10::text[], $11::text[], $12::text[]) AS gone (room_id, id, left_at)
  WHERE p.room_id = gone.room_id AND p.id = gone.id
)
INSERT INTO messages
SELECT * FROM unnest($13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[])`;

const columns = (rows, width) => Array.from({ length: width }, (_, column) => rows.map((row) => row[column]));

export class PostgresStore {
  static async open(folder) {
    const client = new pg.Client({ host: folder, user: "postgres", database: "postgres" });
    await client.connect();
    await client.query(SCHEMA);
    return new PostgresStore(client);
  }

  constructor(client) {
    this.client = client;
  }

  async addRooms(rooms) {
    const rows = rooms.map((r) => [
      r.id, r.code, r.name, r.hostId, Number(r.isActive), Number(r.isLocked), r.maxParticipants, r.createdAt,
    ]);
    await this.client.query(
      `INSERT INTO rooms SELECT * FROM
       unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::int[], $8::text[])`,
      columns(rows, 8),
    );
  }

  async commit(changes) {
    const joins = new Map();
    const leaves = [];
    const messages = [];
    for (const { kind, member, message } of changes) {
      const p = member.participant;
      if (kind === "join")
        joins.set(member, [
          p.roomId, p.id, p.userId, p.guestName, p.displayName, 1, Number(p.isHost), p.joinedAt, null,
        ]);
      else if (kind === "leave") {
        const row = joins.get(member);
        if (row) [row[5], row[8]] = [0, member.gone.leftAt];
        else leaves.push([p.roomId, p.id, member.gone.leftAt]);
      } else if (kind === "say")
        messages.push([p.roomId, message.id, p.id, p.displayName, message.text, message.sentAt]);
    }
    const values = [...columns([...joins.values()], 9), ...columns(leaves, 3), ...columns(messages, 6)];
    await this.client.query({ name: "commit", text: COMMIT, values });
  }

  /** Read the rooms. Whoever had a seat lost it with the connection when the last process ended. */
  async restore() {
    await this.client.query("UPDATE participants SET is_active = 0, left_at = $1 WHERE left_at IS NULL", [
      new Date().toISOString(),
    ]);
    const { rows } = await this.client.query("SELECT * FROM rooms");
    return rows.map((row) => ({
      id: row.id, code: row.code, name: row.name, hostId: row.host_id, isActive: row.is_active === 1,
      isLocked: row.is_locked === 1, maxParticipants: row.max_participants, createdAt: row.created_at,
    }));
  }
}
