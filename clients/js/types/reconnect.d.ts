/** Reconnecting: when the client tries again after its connection ended, and when it does not. */
import type { Refusal } from "./errors.js";
import type { Over } from "./types.js";
export type End = {
    close: number;
    reason?: string;
    retryAfter?: number | null;
} | {
    refusal: Refusal;
} | {
    unreachable: string;
};
/**
 * How an attempt to connect, or a connection, ended: by a close, by a refusal of the seat or the token, or because the
 * server could not be reached. `retryAfter`: seconds for which the server wants to be left alone.
 *
 * @typedef {{close: number, reason?: string, retryAfter?: number | null} | {refusal: Refusal} | {unreachable: string}} End
 */
/**
 * Return the seconds to wait before an attempt: half of the longest delay, and a random share of the other half.
 *
 * @param {number} attempt From 0.
 * @param {number} jitter From 0 to 1.
 */
export declare function backoff(attempt: number, jitter: number): number;
/**
 * Return the end that follows from a refusal of a seat. A ban counts as a removal.
 *
 * @param {{code: string, message: string}} refusal
 * @returns {Over}
 */
export declare function overByRefusal({ code, message }: {
    code: string;
    message: string;
}): Over;
/** Decides after each connection how long to wait before the next one, or that the meeting is over. */
export declare class ReconnectPolicy {
    #private;
    /**
     * @param {() => number} random Returns jitter from 0 to 1.
     * @param {() => number} now Returns milliseconds, and never goes back.
     * @param {boolean} hasTokenFunction
     */
    constructor(random: () => number, now: () => number, hasTokenFunction: boolean);
    /** Note that the client has its seat, or its place in the queue: a visit begins. */
    arrived(): void;
    /** Note that the server has accepted a token. */
    accepted(): void;
    /**
     * Note that the server has refused a token without ending the connection.
     *
     * @param {string | null} token
     */
    refused(token: string | null): void;
    /**
     * Tell whether the server has just refused this very token, so that connecting with it is useless.
     *
     * @param {string | null} token
     */
    refuses(token: string | null): boolean;
    /**
     * Tell whether a token is worth sending after a `resume`, where a refused one costs the connection.
     *
     * @param {string | null} token
     */
    mayAuthenticate(token: string | null): boolean;
    /**
     * Tell whether to try again with a new token. Counts `token` when `end` means that the server refused it.
     *
     * It does not help when the token is fixed, when the function returned the refused token again, or when three were
     * refused in a row.
     *
     * @param {End} end
     * @param {string | null} token
     */
    mayRenew(end: End, token: string | null): boolean;
    /**
     * Return the seconds to wait before the next connection, or why there is none.
     *
     * @param {End} end
     * @param {string | null} token The one that the ended connection used.
     * @param {boolean} canResume Whether there is a resume token: then a refused token is no reason to stay away.
     * @returns {number | Over}
     */
    after(end: End, token: string | null, canResume: boolean): number | Over;
}
/**
 * Return the end of the meeting where another attempt would be useless; null where it may help.
 *
 * @param {End} end
 * @returns {Over | null}
 */
export declare function overBy(end: End): Over | null;
/**
 * Return the seconds for which the server wants to be left alone; 0 where it asked for nothing.
 *
 * @param {End} end
 */
export declare function askedDelay(end: End): number;
