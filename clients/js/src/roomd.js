/**
 * A client for roomd (the protocol roomd/1, see docs/protocol.md): one person's stay in one room. It reconnects when
 * the network fails, takes its seat back, and tells what has changed meanwhile.
 *
 * `Meeting` is what an application uses, `Refusal` what its promises reject with. `View` is the pure part by itself:
 * frames go in, the events that follow from them come out. `followLog` is for backends: it reads the event log.
 *
 * @module roomd
 */

export { Refusal } from "./errors.js";
export { followLog } from "./eventlog.js";
export { Meeting } from "./meeting.js";
export { View } from "./view.js";

/** @typedef {import("./protocol.js").Ban} Ban */
/** @typedef {import("./protocol.js").IceServer} IceServer */
/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {import("./protocol.js").Participant} Participant */
/** @typedef {import("./protocol.js").Room} Room */
/** @typedef {import("./protocol.js").State} State */
/** @typedef {import("./protocol.js").Waiting} Waiting */
/** @typedef {import("./protocol.js").WaitReason} WaitReason */

/** @typedef {import("./types.js").Clock} Clock */
/** @typedef {import("./types.js").Frame} Frame */
/** @typedef {import("./types.js").Hints} Hints */
/** @typedef {import("./types.js").LogEvent} LogEvent */
/** @typedef {import("./types.js").LogOptions} LogOptions */
/** @typedef {import("./types.js").LogPart} LogPart */
/** @typedef {import("./types.js").MeetingEvents} MeetingEvents */
/** @typedef {import("./types.js").MeetingTarget} MeetingTarget */
/** @typedef {import("./types.js").News} News */
/** @typedef {import("./types.js").Options} Options */
/** @typedef {import("./types.js").Over} Over */
/** @typedef {import("./types.js").Place} Place */
/** @typedef {import("./types.js").SeatLocks} SeatLocks */
/** @typedef {import("./types.js").Socket} Socket */
/** @typedef {import("./types.js").SocketClass} SocketClass */
/** @typedef {import("./types.js").Status} Status */
/** @typedef {import("./types.js").Store} Store */
/** @template D @typedef {import("./types.js").MeetingEvent<D>} MeetingEvent */
/** @template D @typedef {import("./types.js").MeetingListener<D>} MeetingListener */
