/** Messages on their way: each is sent again after a reconnect, under the same `clientId`, until it is answered. */
import type { Deferred, Settle } from "./requests.js";
import type { Message } from "./protocol.js";
import type { Clock, Frame } from "./types.js";
export type Draft = {
    text: string;
    to?: string | null;
    clientId: string;
};
export type Entry = {
    draft: Draft;
    caller: Deferred<Frame>;
    timer: any;
    /**
     * The participant under which it was sent; null before that.
     */
    sender: string | null;
    /**
     * It was sent on this connection, and may still be answered.
     */
    isUnderway: boolean;
};
/** @typedef {{text: string, to?: string | null, clientId: string}} Draft */
/**
 * @typedef {object} Entry
 * @property {Draft} draft
 * @property {Deferred<Frame>} caller
 * @property {any} timer
 * @property {string | null} sender The participant under which it was sent; null before that.
 * @property {boolean} isUnderway It was sent on this connection, and may still be answered.
 */
export declare class Outbox {
    #private;
    /** @param {Clock} clock */
    constructor(clock: Clock);
    /**
     * Add a message to those that are sent.
     *
     * @param {Draft} draft
     * @returns {Promise<Frame>} The reply.
     */
    add(draft: Draft): Promise<Frame>;
    /**
     * Send what is not under way.
     *
     * @param {string} sender The own participant's id. What was sent under another one is given up: it may have arrived.
     * @param {(draft: Draft, settle: Settle) => void} send May throw; then the message is refused.
     */
    flush(sender: string, send: (draft: Draft, settle: Settle) => void): void;
    /**
     * Take a message that turned up: if it is an own one, that is its answer.
     *
     * @param {Message} message
     */
    arrived({ clientId, participantId }: Message): void;
    /** Give everything up: the meeting is over. */
    close(): void;
}
/** Draw a `clientId` of 22 characters. It has to be new for its participant only, so that it need not be secret. */
export declare function newClientId(): string;
