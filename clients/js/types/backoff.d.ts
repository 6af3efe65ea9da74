/** Back-off: how long to wait before the next attempt to connect. */
/** Counts failures in a row. Pure: the time and the randomness are arguments. */
export declare class Backoff {
    #private;
    /** Seconds the server asked the client to wait before its next attempt. @type {number | null} */
    retryAfter: number | null;
    /** Begin anew, as for a first attempt. */
    reset(): void;
    /**
     * Note that a connection has got its seat, or its place in the queue.
     *
     * @param {number} now Milliseconds.
     */
    joined(now: number): void;
    /**
     * Note what a close code says about the next attempt.
     *
     * @param {number} code
     */
    closed(code: number): void;
    /**
     * Count a failure and return the pause after it: longer each time, and not the same for every client.
     *
     * @param {number} now Milliseconds.
     * @param {() => number} random Like `Math.random`.
     * @returns {number} Milliseconds.
     */
    next(now: number, random: () => number): number;
}
