/** Frames, and the objects they carry. */

/** @import { Message, Participant, Room } from "../../src/roomd.js" */

/** @type {Room} */
export const ROOM = {
  id: "r", code: "abc-def-ghi", name: "Weekly", hostId: "alice", isActive: true, isLocked: false, maxParticipants: 5,
  allowGuestAccess: true, waitingRoom: false, historyVisible: "all", participantCount: 1, createdAt: "2026-03-03T10:35:00.000Z", endedAt: null,
}; // prettier-ignore

/** @param {string} id @param {Partial<Participant>} [more] @returns {Participant} */
export const person = (id, more) => ({
  id, roomId: "r", userId: null, guestName: id, isActive: true, isHost: false, joinedAt: "2026-03-03T10:36:00.000Z",
  leftAt: null, displayName: id, state: {}, role: "member", ...more,
}); // prettier-ignore

/** @param {string} id @param {Partial<Message>} [more] @returns {Message} */
export const message = (id, more) => ({
  id, participantId: "bob", displayName: "bob", text: `text of ${id}`, sentAt: "2026-03-03T10:37:00.000Z", to: null, ...more,
}); // prettier-ignore

/** @param {number} seq @param {Participant[]} participants @param {object} [more] */
export const roomState = (seq, participants, more) => ({
  type: "room-state", epoch: "e", seq, room: { ...ROOM, participantCount: participants.length }, participants,
  messages: [], ...more,
}); // prettier-ignore

/** @param {number} seq @param {Partial<Record<"joined" | "updated" | "left", Participant[]>>} lists */
export const changed = (seq, lists) => ({ type: "participants-changed", seq, joined: [], updated: [], left: [], ...lists });

/** @param {object} [more] */
export const refusal = (more) => ({
  type: "error", statusCode: 403, code: "room_locked", message: "Room is locked", ...more,
}); // prettier-ignore

/** @param {object} [more] */
export const waiting = (more) => ({ type: "waiting", participantId: "me", position: 2, reason: "waiting_room", ...more });

/** The reply to a `resume`; it needs an `id`. */
export const RESUMED = { id: undefined, type: "participant", participant: person("me"), resumeToken: "next" };
