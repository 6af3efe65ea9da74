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
    /** Stop waiting for a token function. */
    cancel(): void;
}
