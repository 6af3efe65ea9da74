/**
 * Catch-up: reading the messages that this client missed while it had no connection.
 *
 * `room-state` shows the last public messages and no private ones, so the client reads the rest by `list-messages`: from
 * the last message it knows, page by page, by the server's cursors. Messages that arrive meanwhile are held back, so that
 * every message is told in order and once.
 *
 * Everything is bounded. After `MOST_PAGES` pages the client gives up the middle: it reads on from the first message that
 * `room-state` showed. When more than `MOST_MESSAGES` were sent, it keeps the newest. In both cases what is kept has no
 * holes, and `hasGap` says that something before it is missing.
 */
import type { Message } from "./protocol.js";
import type { Frame } from "./types.js";
/** @import { Message } from "./protocol.js" */
/** @import { Frame } from "./types.js" */
/** The `id` of these requests. It tells their replies from the replies to the application's own requests. */
export declare const CATCH_UP = "catch-up";
export declare const MOST_MESSAGES = 500;
/** One reading of missed messages. Pure: `request` returns what to send, `read` takes the reply. */
export declare class CatchUp {
    #private;
    after: string | null;
    isNews: boolean;
    /** Seconds to wait before the next request. */
    delay: number;
    /** A page was asked for on this connection, and its reply has not come. */
    isAsked: boolean;
    /** The next reply answers a request of an earlier reading on this connection: it says nothing. */
    isLate: boolean;
    /** Messages right before those that `messages()` returns are missing. */
    hasGap: boolean;
    /**
     * @param {string | null} after The id of the last message before the gap; null: from the first message of the room on.
     * @param {Message[]} shown The messages of `room-state` to keep when the rest cannot be read.
     * @param {boolean} [isNews] False for messages from before this client joined: no event tells them.
     */
    constructor(after: string | null, shown: Message[], isNews?: boolean);
    /** The messages that arrived during the reading. */
    get heldBack(): Message[];
    /**
     * Return the fields of the request for the next page.
     *
     * @param {string} code The room's.
     */
    request(code: string): {
        code: string;
        cursor: string | null;
        limit: number;
    };
    /**
     * Keep a message that arrived during the reading.
     *
     * @param {Message} message
     */
    holdBack(message: Message): void;
    /**
     * Take the reply to `request`.
     *
     * @param {Frame} reply
     * @returns {boolean} Whether the reading is finished.
     */
    read(reply: Frame): boolean;
    /** Stop reading: only what `room-state` showed and what arrived since is known. */
    giveUp(): void;
    /** Return the messages after the gap, in order and without holes. */
    messages(): Message[];
}
