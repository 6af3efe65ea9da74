/** Refusals: what the server said no to, and how the client reports that it could not ask. */
import type { Frame } from "./types.js";
/** The server said no, or could not be asked: then `statusCode` is 0. */
export declare class Refusal extends Error {
    /** Like that of HTTP; 0 when it does not come from the server. */
    statusCode: number;
    /** For programs, like "room_locked". */
    code: string;
    /** Seconds after which trying again may help; null where it does not. */
    retryAfter: number | null;
    /** With "position_expired": the position of the event log to go on from. Else null. */
    oldest: string | null;
    /**
     * @param {number} statusCode
     * @param {string} code
     * @param {string} message
     * @param {number | null} [retryAfter]
     * @param {string | null} [oldest]
     */
    constructor(statusCode: number, code: string, message: string, retryAfter?: number | null, oldest?: string | null);
}
/**
 * Read the refusal that an `error` frame carries.
 *
 * @param {Frame} frame
 */
export declare function refusalOf(frame: Frame): Refusal;
/** Make the refusal of a request that no server can answer. */
export declare function disconnected(): Refusal;
/** Make the refusal of a request that the server did not answer in time. */
export declare function noAnswer(): Refusal;
/** Make the refusal of a token, where the server gave no words of its own. */
export declare function notAccepted(): Refusal;
/**
 * Read how many seconds the server asks the client to wait: null where it is no number; an hour at most.
 *
 * @param {unknown} retryAfter
 */
export declare function secondsOf(retryAfter: unknown): number | null;
