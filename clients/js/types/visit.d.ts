/** Visit: the time in the room on one connection, from asking for the seat to the end of the connection. */
import { Connection } from "./connection.js";
import { Presence } from "./presence.js";
import { View } from "./view.js";
import type { End } from "./reconnect.js";
import type { Clock, News, Options, Socket, Status } from "./types.js";
/** What a stay in the room keeps from one connection to the next. */
export declare class Stay {
    view: View;
    presence: Presence;
    /** Note that the connection is lost. */
    drop(): void;
}
export type VisitOwner = {
    /**
     * The view has taken a frame; `before` was its status.
     */
    applied: (before: Status, news: News[]) => void;
    /**
     * There will be no more on this connection.
     */
    ended: (end: End) => void;
};
/**
 * What a visit reports. Neither is called after `end()` or `leave()`.
 *
 * @typedef {object} VisitOwner
 * @property {(before: Status, news: News[]) => void} applied The view has taken a frame; `before` was its status.
 * @property {(end: End) => void} ended There will be no more on this connection.
 */
export declare class Visit {
    #private;
    connection: Connection;
    /**
     * @param {Socket} socket
     * @param {string | null} token
     * @param {Stay} stay
     * @param {{options: Options, clock: Clock, nextId: () => number}} context
     * @param {VisitOwner} owner
     */
    constructor(socket: Socket, token: string | null, stay: Stay, { options, clock, nextId }: {
        options: Options;
        clock: Clock;
        nextId: () => number;
    }, owner: VisitOwner);
    /** End the connection, or give up the attempt to open it. */
    end(): void;
    /**
     * Leave the room, then end the connection.
     *
     * @returns {Promise<void>} Done when the server has answered, or has not for some time.
     */
    leave(): Promise<void>;
    /** Send the changes of the own presence that are not sent yet. */
    sendPresence(): void;
}
