/** The own presence: changes that were asked for, until the server has taken them. */
import type { Deferred, Settle } from "./requests.js";
import type { Participant } from "./protocol.js";
import type { Frame } from "./types.js";
export type StateChange = Record<string, string | number | boolean | null>;
/** @import { Deferred, Settle } from "./requests.js" */
/** @import { Participant } from "./protocol.js" */
/** @import { Frame } from "./types.js" */
/** @typedef {Record<string, string | number | boolean | null>} StateChange Null takes a key away. */
/** The value in whose place the server keeps its own time. */
export declare const NOW = "@now";
/** Collects changes while there is no connection, and keeps those that a connection lost. */
export declare class Presence {
    #private;
    /**
     * Add a change to those that will be sent.
     *
     * @param {StateChange} state
     * @returns {Promise<Frame>} The reply.
     */
    change(state: StateChange): Promise<Frame>;
    /**
     * Note the own participant as it was when the connection was lost.
     *
     * @param {Participant | null} me Null changes nothing.
     */
    remember(me: Participant | null): void;
    /**
     * Note a seat. If it is not the one of before, the whole presence will be sent again: a new seat begins with none.
     *
     * @param {Participant} me
     */
    seated(me: Participant): void;
    /**
     * Send what is not sent yet, in one request.
     *
     * @param {(state: StateChange, settle: Settle) => void} send May throw; then the changes are refused.
     * @param {() => boolean} isLast Whether no other connection follows, on which lost changes could be sent again.
     */
    flush(send: (state: StateChange, settle: Settle) => void, isLast: () => boolean): void;
    /**
     * Give up what is not sent yet.
     *
     * @returns {Deferred<Frame>[]} Who waits for it.
     */
    drop(): Deferred<Frame>[];
}
