/** The token of a user: a string, or a function that gets one for each connection. */
import type { Clock, Options } from "./types.js";
/** Gets tokens, and remembers which one the server did not accept. */
export declare class Tokens {
    #private;
    /**
     * @param {Options["token"]} option
     * @param {Clock} clock
     */
    constructor(option: Options["token"], clock: Clock);
    /** Forget the refusals: the server has accepted the token, or another join begins. */
    reset(): void;
    /**
     * Get a token for the next attempt. Rejects when none comes in time.
     *
     * @returns {Promise<string | null>}
     */
    get(): Promise<string | null>;
    /** Stop waiting for a token function. */
    cancel(): void;
    /**
     * Take a token for this attempt to connect.
     *
     * @param {string | null} token
     * @returns {boolean} False if the server has refused this very token before.
     */
    use(token: string | null): boolean;
    /**
     * Note that the server refused the current token.
     *
     * @returns {boolean} Whether it is worth asking for another one.
     */
    refuse(): boolean;
}
