// Rooms on Socket.IO 4 with PostgreSQL: the port is its argument, DATABASE (the folder of the socket) and JWT_SECRET
// come from the environment.

import { Server } from "socket.io";

import { httpServer } from "../common/http.js";
import { Refusal, Rooms, roomView, verifier } from "../common/rooms.js";
import { PostgresStore } from "./postgres.js";

const { DATABASE, JWT_SECRET } = process.env;
const port = Number(process.argv[2]);

const store = await PostgresStore.open(DATABASE);
const rooms = new Rooms(store, tell);
rooms.restore(await store.restore());
const verify = verifier(JWT_SECRET);

const server = httpServer((...request) => rooms.create(...request));
const io = new Server(server, { transports: ["websocket"], serveClient: false, maxHttpBufferSize: 64 * 1024 });

// The adapter encodes an event once for all sockets: those who were there get the change before the newcomers are added,
// and the newcomers of one commit get the same state.
function tell(room, joined, left) {
  const seq = room.seq;
  io.to(room.code).emit("participants-changed", {
    seq,
    joined: Array.from(joined, (member) => member.participant),
    left: Array.from(left, (member) => member.gone),
  });
  if (!joined.size) return;
  const ids = [];
  for (const { connection } of joined) {
    connection.join(room.code);
    ids.push(connection.id);
  }
  io.to(ids).emit("room-state", state(room));
}

function state(room) {
  const participants = Array.from(room.members.values(), (member) => member.participant);
  return { seq: room.seq, room: roomView(room), participants };
}

function leave(socket, done) {
  const { member } = socket.data;
  socket.data.member = null;
  rooms.leave(member, (error) => {
    if (!error) socket.leave(member.room.code);
    done(error, member);
  });
}

// The documentation's advice to save memory: drop the HTTP request of an engine's socket.
io.engine.on("connection", (raw) => (raw.request = null));

io.use((socket, next) => {
  const { token } = socket.handshake.auth;
  try {
    socket.data.who = token === undefined ? null : verify(token);
    next();
  } catch (error) {
    next(error);
  }
});

/** Wrap a handler: what it refuses is its answer. */
function answering(handler) {
  return (request, ack = () => {}) => {
    try {
      handler(request, ack);
    } catch (error) {
      if (!(error instanceof Refusal)) console.error(error);
      ack({ error: error.reply ?? { type: "error", statusCode: 400, code: "bad_frame", message: "Malformed frame" } });
    }
  };
}

io.on("connection", (socket) => {
  const { data } = socket;
  data.member = null;

  const on = (event, handler) => socket.on(event, answering(handler));

  on("join-room", ({ code, guestName }, ack) => {
    if (data.member) leave(socket, () => {});
    const member = rooms.join(code, data.who, guestName, socket, (error, previous) => {
      if (error) {
        data.member = null;
        return ack({ error: error.reply });
      }
      ack({ participant: member.participant });
      if (!previous) return;
      previous.data.member = null;
      previous.disconnect(true);
      socket.join(code);
      socket.emit("room-state", state(member.room));
    });
    data.member = member;
  });

  on("leave-room", (_, ack) => {
    leave(socket, (error, member) => ack(error ? { error: error.reply } : { participant: member.gone }));
  });

  on("send-message", ({ text }, ack) => {
    const { member } = data;
    rooms.say(member, text, (error, message) => {
      if (error) ack({ error: error.reply });
      else io.to(member.room.code).emit("message", message);
    });
  });

  on("signal", ({ to, data: payload }) => {
    const { member } = data;
    rooms.member(member, to)?.connection.emit("signal", { from: member.participant.id, data: payload });
  });

  socket.on("disconnect", () => data.member && leave(socket, () => {}));
});

server.listen(port, "127.0.0.1", 4096);
