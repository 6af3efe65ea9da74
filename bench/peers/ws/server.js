// roomd's protocol on `ws` with better-sqlite3: the port is its argument, DATABASE (a file) and JWT_SECRET come from
// the environment.

import { WebSocketServer } from "ws";

import { httpServer } from "../common/http.js";
import { Refusal, Rooms, roomView, verifier } from "../common/rooms.js";
import { SqliteStore } from "../common/sqlite.js";

const { DATABASE, JWT_SECRET } = process.env;
const port = Number(process.argv[2]);

const store = new SqliteStore(DATABASE);
const rooms = new Rooms(store, tell);
rooms.restore(store.restore());
const verify = verifier(JWT_SECRET);

// Every participant is encoded once, and so is every frame that goes to many clients.
function tell(room, joined, left) {
  const others = [];
  for (const member of room.members.values()) if (!joined.has(member)) others.push(member);
  if (others.length) {
    const came = Array.from(joined, json);
    const went = Array.from(left, (member) => JSON.stringify(member.gone));
    send(others, `{"type":"participants-changed","seq":${room.seq},"joined":[${came}],"updated":[],"left":[${went}]}`);
  }
  if (joined.size) send(joined, state(room));
}

const json = (member) => (member.json ??= JSON.stringify(member.participant));

function state(room) {
  const people = Array.from(room.members.values(), json);
  return `{"type":"room-state","seq":${room.seq},"room":${JSON.stringify(roomView(room))},"participants":[${people}]}`;
}

function send(members, frame) {
  const bytes = Buffer.from(frame);
  for (const { connection } of members) connection.send(bytes, { binary: false });
}

function reply(connection, frame) {
  connection.send(JSON.stringify(frame));
}

function leave(connection, done) {
  const { member } = connection;
  connection.member = null;
  rooms.leave(member, (error) => done(error, member));
}

const handlers = {
  "join-room"(connection, { id, code, guestName }) {
    if (connection.member) leave(connection, () => {});
    const member = rooms.join(code, connection.who, guestName, connection, (error, previous) => {
      if (error) {
        connection.member = null;
        return reply(connection, { ...error.reply, id });
      }
      reply(connection, { type: "participant", id, participant: member.participant });
      if (!previous) return;
      previous.member = null;
      previous.close(4409);
      connection.send(state(member.room));
    });
    connection.member = member;
  },

  "leave-room"(connection, { id }) {
    leave(connection, (error, member) => {
      reply(connection, error ? { ...error.reply, id } : { type: "participant", id, participant: member.gone });
    });
  },

  "send-message"(connection, { id, text }) {
    const { member } = connection;
    rooms.say(member, text, (error, message) => {
      if (error) return reply(connection, { ...error.reply, id });
      send(member.room.members.values(), JSON.stringify({ type: "message", message }));
    });
  },

  signal(connection, { to, data }) {
    const { member } = connection;
    const target = rooms.member(member, to);
    target?.connection.send(JSON.stringify({ type: "signal", from: member.participant.id, data }));
  },
};

const server = httpServer((...request) => rooms.create(...request));
const sockets = new WebSocketServer({ server, path: "/ws", maxPayload: 64 * 1024, perMessageDeflate: false });

sockets.on("connection", (connection, request) => {
  connection.member = null;
  connection.who = null;
  connection.isAlive = true;
  connection.on("error", () => {});
  const { authorization } = request.headers;
  if (authorization) {
    try {
      connection.who = verify(authorization.replace(/^Bearer /, ""));
    } catch (error) {
      reply(connection, error.reply);
      return connection.close(4401);
    }
  }
  connection.on("pong", () => (connection.isAlive = true));
  connection.on("close", () => connection.member && leave(connection, () => {}));
  connection.on("message", (data) => {
    let frame;
    try {
      frame = JSON.parse(data);
      handlers[frame.type](connection, frame);
    } catch (error) {
      if (!(error instanceof Refusal)) return connection.close(1003);
      reply(connection, { ...error.reply, id: frame.id });
    }
  });
});

// A connection that was lost without a close frame is found as ws's documentation shows.
setInterval(() => {
  for (const connection of sockets.clients) {
    if (!connection.isAlive) connection.terminate();
    connection.isAlive = false;
    connection.ping();
  }
}, 20_000).unref();

server.listen(port, "127.0.0.1", 4096);
