/**
 * Session: one person's stay in a room, over as many connections as it takes. All that changes its status is here.
 *
 *     status        | connection      | what is sent on a new one    | goes to
 *     --------------|-----------------|------------------------------|----------------------------------------------
 *     new           | none            |                              | connecting
 *     connecting    | being made      | resume, when a seat was kept | joined, waiting; over, when refused or unreachable
 *                   |                 | by the store; else join-room |
 *     waiting       | open            |                              | joined, reconnecting, over
 *     joined        | open            |                              | reconnecting, over
 *     reconnecting  | none, or being  | resume; join-room when the   | joined, waiting, over
 *                   | made            | seat is held no longer (410) |
 *     over          | none            |                              | connecting, by another join() or resume()
 *
 * Frames are handled synchronously, in the order they come. Some WebSockets deliver several frames at once; if a reply
 * waited for a promise, it would be handled after the event that follows it.
 */
import type { StateChange } from "./presence.js";
import type { Frame, News, Options, Status } from "./types.js";
import type { Entry } from "./visit.js";
export declare class Session {
    #private;
    /** The room's code. */
    code: string;
    /**
     * @param {string} url
     * @param {Options} options
     * @param {(news: News[]) => void} emit Called with at least one event at a time.
     */
    constructor(url: string, options: Options, emit: (news: News[]) => void);
    /** What is known of the room; another one after each `join()`. */
    get view(): import("./view.js").View;
    /** @returns {Status} */
    get status(): Status;
    get canResume(): boolean;
    /**
     * @param {Entry} entry
     * @returns {Promise<void>}
     */
    join(entry: Entry): Promise<void>;
    /** @returns {Promise<void>} */
    leave(): Promise<void>;
    /**
     * @param {string} type
     * @param {Record<string, unknown>} fields
     * @returns {Promise<Frame>}
     */
    request(type: string, fields: Record<string, unknown>): Promise<Frame>;
    /**
     * @param {StateChange} state
     * @returns {Promise<Frame>}
     */
    updateState(state: StateChange): Promise<Frame>;
    /**
     * @param {string} text
     * @param {string | null | undefined} to
     * @param {string} [clientId]
     * @returns {Promise<Frame>}
     */
    say(text: string, to: string | null | undefined, clientId?: string): Promise<Frame>;
    /**
     * @param {number} hold Seconds.
     * @returns {Promise<Frame | undefined>}
     */
    hold(hold: number): Promise<Frame | undefined>;
}
