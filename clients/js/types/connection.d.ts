/** Connection: one WebSocket with its requests, and whether the server still answers. */
import type { Settle } from "./requests.js";
import type { Clock, Frame, Socket } from "./types.js";
/** @import { Settle } from "./requests.js" */
/** @import { Clock, Frame, Socket } from "./types.js" */
export declare const OPENING = 10000;
export declare const ANSWER = 5000;
export declare class Connection {
    #private;
    /** When the last frame came, in milliseconds of the clock; 0 before the first. */
    heardAt: number;
    /**
     * @param {Socket} socket
     * @param {Clock} clock
     * @param {() => number} nextId
     * @param {number | undefined} maxFrame Bytes the server accepts in a frame.
     * @param {{open(): void, frame(frame: Frame): void, end(code: number, reason: string): void}} on `frame` takes every
     *   frame, a reply before its request is settled.
     */
    constructor(socket: Socket, clock: Clock, nextId: () => number, maxFrame: number | undefined, on: {
        open(): void;
        frame(frame: Frame): void;
        end(code: number, reason: string): void;
    });
    get isOpen(): boolean;
    /**
     * Send a request. The reply settles it; after a `waiting` another reply to it will follow. Without one, an `error` of
     * the client's own with the code "no_answer" settles it after 10 seconds.
     *
     * Throws `Refusal` with the code "too_long".
     *
     * @param {string} type
     * @param {Record<string, unknown>} fields
     * @param {Settle} settle
     * @param {number | string} [id] Of the request; a number that no other has by default.
     */
    ask(type: string, fields: Record<string, unknown>, settle: Settle, id?: number | string): void;
    /**
     * Find out at once whether the server still answers.
     *
     * @param {number} patience Milliseconds until something must have come.
     */
    probe(patience: number): void;
    /**
     * Be over: whatever still comes is ignored. Ending twice is fine.
     *
     * @param {number} code
     * @param {string} reason
     */
    end(code: number, reason: string): void;
}
