// What an application for Socket.IO sees by the shim: node socket-io.mjs URL CODE TOKEN
import assert from "node:assert/strict";
import { WebSocket } from "ws";
import { io } from "./socket-io-shim.js";

const [url, code, token] = process.argv.slice(2);
const emit = (socket, ...args) => new Promise((resolve) => socket.emit(...args, resolve));
const next = (socket, type) => new Promise((resolve) => socket.on(type, resolve));

const alice = io(url, { auth: { token }, WebSocket });
const host = await emit(alice, "join-room", { code });
assert.deepEqual([host.userId, host.guestName, host.isHost, host.isActive, host.leftAt], ["alice", null, true, true, null]);

const changed = next(alice, "participants-changed");
const jane = io(url, { WebSocket });
const guest = await emit(jane, "join-room", { code, guestName: "Jane Smith" });
const keys = ["id", "roomId", "userId", "guestName", "isActive", "isHost", "joinedAt", "leftAt"];
for (const key of keys) assert.ok(key in guest, key);
assert.deepEqual([guest.userId, guest.guestName, guest.isHost], [null, "Jane Smith", false]);
assert.equal((await changed).joined[0].id, guest.id);

const refused = async (fields) => emit(io(url, { WebSocket }), "join-room", fields);
assert.deepEqual(await refused({ code: "zzz-zzz-zzz", guestName: "Jane" }), { statusCode: 404, message: "Room not found" });
await emit(alice, "update-room", { code, isLocked: true });
assert.deepEqual(await refused({ code, guestName: "Ben" }), { statusCode: 403, message: "Room is locked" });
await emit(alice, "update-room", { code, isLocked: false, maxParticipants: 2 });
assert.deepEqual(await refused({ code, guestName: "Ben" }), { statusCode: 400, message: "Room is full" });
const ended = next(jane, "room-ended");
await emit(alice, "end-room", { code });
await ended;
assert.deepEqual(await refused({ code, guestName: "Ben" }), { statusCode: 400, message: "Room is no longer active" });
const gone = next(jane, "disconnect");
jane.disconnect();
await gone;
console.log("done");
process.exit(0);
