/** What the client takes from the browser or from Node. */
import type { Clock, Hints, MeetingTarget, SeatLocks, SocketClass } from "./types.js";
/** @import { Clock, Hints, MeetingTarget, SeatLocks, SocketClass } from "./types.js" */
/** The global objects, as far as there are any. @type {typeof globalThis & {WebSocket?: SocketClass, window?: Hints, document?: Hints, CustomEvent?: any, navigator?: {locks?: SeatLocks}}} */
export declare const world: typeof globalThis & {
    WebSocket?: SocketClass;
    window?: Hints;
    document?: Hints;
    CustomEvent?: any;
    navigator?: {
        locks?: SeatLocks;
    };
};
/** @type {Clock} */
export declare const CLOCK: Clock;
/** `EventTarget`, with the types of a meeting's events. */
export declare const Target: new () => MeetingTarget;
/** `CustomEvent`, which Node 18 does not have. @type {new (type: string, init: {detail: unknown}) => Event} */
export declare const DetailEvent: new (type: string, init: {
    detail: unknown;
}) => Event;
