/** Visit: the time in the room on one connection, from asking for the seat to the end of the connection. */
import { Connection } from "./connection.js";
import { Outbox } from "./outbox.js";
import { Presence } from "./presence.js";
import { View } from "./view.js";
import type { End } from "./reconnect.js";
import type { Settle } from "./requests.js";
import type { Clock, News, Options, Socket, Status } from "./types.js";
export type Entry = {
    takesOver: boolean;
    onlyResumes: boolean;
};
/**
 * How somebody comes in. `takesOver`: a seat of the same user that is connected elsewhere may be taken over; only for
 * somebody who has just asked for that. `onlyResumes`: nothing is tried but taking the kept seat back.
 *
 * @typedef {{takesOver: boolean, onlyResumes: boolean}} Entry
 */
/** What a stay in the room keeps from one connection to the next. */
export declare class Stay {
    view: View;
    presence: Presence;
    outbox: Outbox;
    /** Seconds that the seat is to be held after a clean close; null: as the server has it. @type {number | null} */
    hold: number | null;
    /** @type {Entry} */
    entry: Entry;
    /**
     * @param {Entry} entry
     * @param {Clock} clock
     */
    constructor(entry: Entry, clock: Clock);
    /** Note that this client is in. From now on nobody asks for the seat but the client itself. */
    arrived(): void;
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
    /**
     * The held seat, or the place in the queue, is gone.
     */
    seatLost: () => void;
    /**
     * Gets the token to ask for a new seat with.
     */
    token: () => Promise<string | null>;
    /**
     * Gets a token that is worth sending after a `resume`; null: none.
     */
    freshToken: () => Promise<string | null>;
    tokenAccepted: () => void;
    /**
     * It will not be sent again.
     */
    tokenRefused: (token: string) => void;
};
/**
 * What a visit reports, none of it after `end()` or `leave()`; and what it asks for.
 *
 * @typedef {object} VisitOwner
 * @property {(before: Status, news: News[]) => void} applied The view has taken a frame; `before` was its status.
 * @property {(end: End) => void} ended There will be no more on this connection.
 * @property {() => void} seatLost The held seat, or the place in the queue, is gone.
 * @property {() => Promise<string | null>} token Gets the token to ask for a new seat with.
 * @property {() => Promise<string | null>} freshToken Gets a token that is worth sending after a `resume`; null: none.
 * @property {() => void} tokenAccepted
 * @property {(token: string) => void} tokenRefused It will not be sent again.
 */
export declare class Visit {
    #private;
    connection: Connection;
    /**
     * @param {Socket} socket
     * @param {string | null} token
     * @param {Stay} stay
     * @param {{options: Options, code: string, clock: Clock, nextId: () => number}} context
     * @param {VisitOwner} owner
     */
    constructor(socket: Socket, token: string | null, stay: Stay, { options, code, clock, nextId }: {
        options: Options;
        code: string;
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
    /** Send the messages that are not under way. */
    sendMessages(): void;
    /**
     * Ask to hold the seat after a clean close of this connection.
     *
     * @param {number} hold Seconds.
     * @param {Settle} settle
     */
    sendHold(hold: number, settle: Settle): void;
}
