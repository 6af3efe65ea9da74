/** The token of a user: a string, or a function that gets one for each connection. */
import type { Clock, Options } from "./types.js";
/** Gets tokens. */
export declare class Tokens {
    #private;
    /**
     * @param {Options["token"]} option
     * @param {Clock} clock
     */
    constructor(option: Options["token"], clock: Clock);
    /**
     * Get a token for the next attempt. Rejects when none comes in time.
     *
     * @returns {Promise<string | null>}
     */
    get(): Promise<string | null>;
    /**
     * Get a token that is worth sending where none is needed: null when there is none, or it cannot be had, or has expired.
     *
     * @returns {Promise<string | null>}
     */
    getFresh(): Promise<string | null>;
    /** Stop waiting for a token function. */
    cancel(): void;
}
/**
 * Tell whether a token says of itself that it has expired. A server may know better: its clock counts.
 *
 * @param {string} token
 * @param {number} now Seconds since 1970.
 */
export declare function hasExpired(token: string, now: number): boolean;
