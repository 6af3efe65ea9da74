// Rooms on Colyseus with better-sqlite3: the port is its argument, DATABASE (a file) and JWT_SECRET come from the
// environment.
//
// Colyseus keeps all clients up to date by the room's state, a Schema: a client gets the whole state when it joins, and a
// patch of what changed every 50 ms (`patchRate`, its default). `maxClients` and `lock()` are Colyseus's own too, and the
// state has its participants by session, which is also what others send signals to.

import { createServer } from "node:http";

import { createEndpoint, createRouter, matchMaker, Room, Server, ServerError } from "@colyseus/core";
import { Encoder, schema, t } from "@colyseus/schema";
import { WebSocketTransport } from "@colyseus/ws-transport";

import { answer } from "../common/http.js";
import { Refusal, Rooms, verifier } from "../common/rooms.js";
import { SqliteThread } from "../common/sqlite.js";

const { DATABASE, JWT_SECRET } = process.env;
const port = Number(process.argv[2]);

const store = new SqliteThread(DATABASE);
const rooms = new Rooms(store, () => {}); // the state tells
const restored = await store.restore();
rooms.restore(restored);
const verify = verifier(JWT_SECRET);

const Participant = schema({
  id: t.string(), roomId: t.string(), userId: t.string(), guestName: t.string(), isActive: t.boolean(),
  isHost: t.boolean(), joinedAt: t.string(), leftAt: t.string(), displayName: t.string(),
}, "Participant");
const State = schema({ participants: t.map(Participant) }, "State");

/** Turn a callback into a promise; what is refused becomes an error of Colyseus. */
function committed(start) {
  const refuse = (error) => new ServerError(error.reply.statusCode, error.reply.message);
  return new Promise((resolve, reject) => {
    try {
      start((error, value) => (error ? reject(refuse(error)) : resolve(value)));
    } catch (error) {
      reject(error instanceof Refusal ? refuse(error) : error);
    }
  });
}

class Meeting extends Room {
  autoDispose = false;
  seatReservationTimeout = 60; // s; a thousand who come at once do not all get through in the default 15

  static async onAuth(token, options) {
    try {
      return token ? verify(token) : { guestName: options.guestName };
    } catch {
      throw new ServerError(401, "Token is not valid");
    }
  }

  onCreate({ code, maxParticipants, isLocked }) {
    this.roomId = code;
    this.maxClients = maxParticipants;
    // Enough for everybody: the default grows with a warning in a large room, and wastes memory in a small one.
    Encoder.BUFFER_SIZE = Math.max(2048, 192 * maxParticipants);
    this.state = new State();
    if (isLocked) this.lock();
    this.onMessage("say", (client, { text }) => {
      rooms.say(client.userData, text, (error, message) => error || this.broadcast("message", message));
    });
    this.onMessage("signal", ({ sessionId }, { to, data }) => {
      this.clients.getById(to)?.send("signal", { from: sessionId, data });
    });
  }

  async onJoin(client, _, auth) {
    const who = auth.userId === undefined ? null : auth;
    let member;
    const previous = await committed((done) => {
      member = rooms.join(this.roomId, who, auth.guestName, client, done);
    });
    client.userData = member;
    if (previous) {
      this.state.participants.delete(previous.sessionId);
      previous.userData = null;
      previous.leave(4409);
    }
    // A field that is not set is not sent; the other peers send null.
    const known = Object.entries(member.participant).filter(([, value]) => value !== null);
    this.state.participants.set(client.sessionId, new Participant().assign(Object.fromEntries(known)));
  }

  // Colyseus closes the connection of a client that leaves (which is the answer) only once this is done.
  async onLeave(client) {
    if (!client.userData) return;
    await committed((done) => rooms.leave(client.userData, done));
    this.state.participants.delete(client.sessionId);
  }
}

async function open(rows) {
  for (const row of rows) if (row.isActive) await matchMaker.createRoom("meeting", row);
}

async function create(...request) {
  const rows = await rooms.create(...request);
  await open(rows);
  return rows;
}

const respond = async ({ request }) => new Response(await answer(request.method, request.url, create));

const transport = new WebSocketTransport({ server: createServer(), maxPayload: 64 * 1024 });
const server = new Server({ greet: false, transport });
server.router = createRouter({
  health: createEndpoint("/healthz", { method: "GET" }, respond),
  rooms: createEndpoint("/rooms", { method: "POST" }, respond),
});
server.define("meeting", Meeting);
await server.listen(port, "127.0.0.1", 4096);
await open(restored);
