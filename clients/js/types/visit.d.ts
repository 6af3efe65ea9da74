/** Visit: the time in the room on one connection, from asking for the seat to the end of the connection. */
import { CatchUp } from "./catchup.js";
import { Connection } from "./connection.js";
import { Refusal } from "./errors.js";
import { Presence } from "./presence.js";
import { View } from "./view.js";
import type { Clock, News, Options, Socket, Status } from "./types.js";
/** What a stay in the room keeps from one connection to the next. */
export declare class Stay {
    view: View;
    presence: Presence;
    catchUp: CatchUp;
    /** Takes the seat, or the place in the queue, back. @type {string | null} */
    resumeToken: string | null;
    /** Ids of the requests for a seat. @type {Set<number | string>} */
    askedFor: Set<number | string>;
    /** @param {Clock} clock */
    constructor(clock: Clock);
}
export type VisitOwner = {
    status: () => Status;
    /**
     * The seat, or the place in the queue, is had.
     */
    settled: (status: "joined" | "waiting", news: News[]) => void;
    tell: (news: News[]) => void;
    /**
     * There will be no seat on this connection.
     */
    refused: (refusal: Refusal) => void;
    /**
     * The stay is over.
     */
    finish: (code: string, reason: string, refusal?: Refusal, said?: string | null) => void;
    /**
     * The server is about to restart.
     */
    restarting: (seconds: number | null) => void;
    /**
     * The connection has ended.
     */
    dropped: (code: number, reason: string) => void;
};
/**
 * What a visit reports. None of these is called after `end()` or `leave()`.
 *
 * @typedef {object} VisitOwner
 * @property {() => Status} status
 * @property {(status: "joined" | "waiting", news: News[]) => void} settled The seat, or the place in the queue, is had.
 * @property {(news: News[]) => void} tell
 * @property {(refusal: Refusal) => void} refused There will be no seat on this connection.
 * @property {(code: string, reason: string, refusal?: Refusal, said?: string | null) => void} finish The stay is over.
 * @property {(seconds: number | null) => void} restarting The server is about to restart.
 * @property {(code: number, reason: string) => void} dropped The connection has ended.
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
