/** Catch-up: reading the messages that were sent while this client had no connection. */
import type { Clock, Frame, News } from "./types.js";
import type { View } from "./view.js";
export type Missing = {
    after: string | null;
    isNews: boolean;
};
/**
 * Messages may be missing: after the one with the id `after`, or from the first on. `isNews`: each is told by an event.
 *
 * @typedef {{after: string | null, isNews: boolean}} Missing
 */
/** Knows whether messages are missing, and reads them page by page. */
export declare class CatchUp {
    #private;
    /** @param {Clock} clock */
    constructor(clock: Clock);
    /** Messages are missing: they are being read, or have to be. */
    get isNeeded(): boolean;
    /**
     * Note that messages are missing. One reading that was cut off begins again where it began.
     *
     * @param {Missing} missing
     */
    miss(missing: Missing): void;
    /** Stop reading, as the connection has ended. What is missing is missing still. */
    stop(): void;
    /**
     * Read what is missing, if anything is. The `room-state` has only the last messages, and no private ones.
     *
     * @param {View} view Where the messages go.
     * @param {(cursor: string | null, settle: (reply: Frame) => void) => void} list Asks for a page; replies come while it is of use.
     * @param {(news: News[]) => void} emit
     */
    read(view: View, list: (cursor: string | null, settle: (reply: Frame) => void) => void, emit: (news: News[]) => void): void;
}
