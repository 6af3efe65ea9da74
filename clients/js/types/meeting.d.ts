/** Meeting: what an application uses. Its state comes from the view, its events from the session. */
import { Target } from "./platform.js";
import type { BansReply, IceServersReply, Message, MessagesReply, Participant, Room, RoomReply, Waiting } from "./protocol.js";
import type { Frame, Options, Place } from "./types.js";
/** @import { BansReply, IceServersReply, Message, MessagesReply, Participant, Room, RoomReply, Waiting } from "./protocol.js" */
/** @import { Frame, Options, Place } from "./types.js" */
/**
 * One person's stay in a room, over as many connections as it takes.
 *
 * No promise has to be handled: one that rejects and is not handled is no unhandled rejection.
 */
export declare class Meeting extends Target {
    #private;
    /**
     * @param {string} url Like `wss://meet.example/ws`.
     * @param {Options} options
     */
    constructor(url: string, options: Options);
    /** What this meeting is doing now. */
    get status(): import("./types.js").Status;
    /** The room; null before the first `room-state`. @returns {Room | null} */
    get room(): Room | null;
    /** This client's own participant, kept current; null before it has a seat. @returns {Participant | null} */
    get me(): Participant | null;
    /** Everybody, in the order of the room. A new `Map` whenever it changes. @returns {Map<string, Participant>} */
    get participants(): Map<string, Participant>;
    /** The last 500, public and private, oldest first. A new array whenever it changes. @returns {Message[]} */
    get messages(): Message[];
    /** Who waits; for hosts. @returns {Waiting[]} */
    get lobby(): Waiting[];
    /** Where this client itself waits; else null. @returns {Place | null} */
    get place(): Place | null;
    /** Names the run of the room in which `seq` counts. */
    get epoch(): string;
    /** The number of the last event that was applied. */
    get seq(): number;
    /** Whose hands are up (`handRaised` in their presence), in the order they went up. @returns {Participant[]} */
    get hands(): Participant[];
    /** Whether the store has a seat in this room: then `resume()` may take it back. */
    get canResume(): boolean;
    /**
     * Join the room; done when this client has a seat, or a place in the queue for one. A seat that the store has kept is
     * taken back, if it is still there.
     *
     * Rejects with `Refusal`: the server's, or one with `statusCode` 0 if the server could not be reached. Events tell
     * what happens later. May be called again when the meeting is over.
     *
     * @param {{takeOver?: boolean}} [how] With false, a seat of the same user that is connected elsewhere is left alone:
     *   "taken_over". For calls that no person asked for. Default: true.
     * @returns {Promise<void>}
     */
    join({ takeOver }?: {
        takeOver?: boolean;
    }): Promise<void>;
    /**
     * Take the seat back that the store has kept, or the place in the queue, and nothing else; for a page that was loaded
     * again. Needs neither name nor token. Rejects like `join`; with "seat_expired" when there is no seat to take back,
     * with "taken_over" when it is in use on another device or in another tab.
     *
     * @returns {Promise<void>}
     */
    resume(): Promise<void>;
    /**
     * Leave the room, or stop trying to join; done when the server has answered, or cannot be reached.
     *
     * The request is sent before this returns, so it may be called while a page unloads. While there is no connection the
     * seat cannot be released; the server holds it until its time is over.
     *
     * @returns {Promise<void>}
     */
    leave(): Promise<void>;
    /**
     * Send a request of any type, see docs/protocol.md.
     *
     * Rejects with `Refusal`. Its code is "disconnected" when there is no connection, or when the connection ends before
     * the reply, and "no_answer" when there is none after 10 seconds: then it is not known whether the request was carried
     * out.
     *
     * @param {string} type
     * @param {Record<string, unknown>} [fields]
     * @returns {Promise<Frame>} The reply.
     */
    request(type: string, fields?: Record<string, unknown>): Promise<Frame>;
    /**
     * Change the own presence, key by key; null takes a key away.
     *
     * While there is no connection the change is kept, and sent as soon as there is one. If the seat is lost and this
     * client gets another one, its whole presence is sent again.
     *
     * @param {Record<string, string | number | boolean | null>} state
     * @returns {Promise<Frame>}
     */
    updateState(state: Record<string, string | number | boolean | null>): Promise<Frame>;
    /** Raise the hand: the server notes when, so that all see hands in the order they went up. */
    raiseHand(): Promise<Frame>;
    /** Lower the hand. */
    lowerHand(): Promise<Frame>;
    /**
     * Set for how long the seat is held after a clean close, such as that of a closed tab. It holds for all connections
     * of this meeting, and may be set before joining.
     *
     * @param {{hold: number}} settings `hold` is in seconds; the server has an upper limit.
     */
    updateConnection({ hold }: {
        hold: number;
    }): Promise<Frame | undefined>;
    /**
     * Send a signal to one other participant. Refused with `participant_not_found` while that one is not connected.
     *
     * @param {string} to
     * @param {unknown} data
     */
    signal(to: string, data: unknown): Promise<Frame>;
    /**
     * Send a message to everyone or, with `to`, to one participant.
     *
     * It is sent again after a reconnect until it is answered, and kept once. Rejects with "no_answer" after 30 seconds,
     * and with "disconnected" when the meeting is over first: then it may still turn up, with its `clientId`.
     *
     * @param {string} text 1 to 2,000 characters.
     * @param {string | null} [to]
     * @param {{clientId?: string}} [options] 1 to 64 characters; give the same one to ask again. Default: a new one.
     */
    say(text: string, to?: string | null, { clientId }?: {
        clientId?: string;
    }): Promise<Frame>;
    /**
     * Take a participant's seat away; with `ban` the user, or guests of the same address, cannot come back. For hosts.
     *
     * @param {string} participantId
     * @param {{ban?: boolean, reason?: string}} [options]
     */
    remove(participantId: string, { ban, reason }?: {
        ban?: boolean;
        reason?: string;
    }): Promise<Frame>;
    /**
     * Ask a participant's client to mute itself. For hosts.
     *
     * @param {string} participantId
     */
    mute(participantId: string): Promise<Frame>;
    /**
     * Admit somebody who waits for the host. For hosts.
     *
     * @param {string} participantId
     */
    admit(participantId: string): Promise<Frame>;
    /** Admit everybody who waits for the host. For hosts. */
    admitAll(): Promise<Frame>;
    /**
     * Deny somebody who waits. For hosts.
     *
     * @param {string} participantId
     */
    deny(participantId: string): Promise<Frame>;
    /**
     * Change the room's settings. With `hostId` it is handed over. `{}`, "never" and 0 remove the last three. For hosts.
     *
     * @param {{name?: string, isLocked?: boolean, maxParticipants?: number, allowGuestAccess?: boolean,
     *   waitingRoom?: boolean, historyVisible?: Room["historyVisible"], hostId?: string,
     *   metadata?: Record<string, any>, expiresAt?: string, endWhenEmpty?: number}} settings
     * @returns {Promise<Frame & RoomReply>}
     */
    updateRoom(settings: {
        name?: string;
        isLocked?: boolean;
        maxParticipants?: number;
        allowGuestAccess?: boolean;
        waitingRoom?: boolean;
        historyVisible?: Room["historyVisible"];
        hostId?: string;
        metadata?: Record<string, any>;
        expiresAt?: string;
        endWhenEmpty?: number;
    }): Promise<Frame & RoomReply>;
    /**
     * End the room for everyone in it. For hosts.
     *
     * @returns {Promise<Frame & RoomReply>}
     */
    endRoom(): Promise<Frame & RoomReply>;
    /** End the room for everyone in it, and delete it with all that belongs to it. For hosts. */
    deleteRoom(): Promise<Frame>;
    /**
     * Ask for STUN and TURN servers; the credentials are good for `ttl` seconds.
     *
     * @returns {Promise<Frame & IceServersReply>}
     */
    iceServers(): Promise<Frame & IceServersReply>;
    /**
     * Read a page of messages, from the oldest on, or from after the message with the id `cursor` on.
     *
     * @param {{cursor?: string | null, limit?: number}} [page]
     * @returns {Promise<Frame & MessagesReply>}
     */
    listMessages({ cursor, limit }?: {
        cursor?: string | null;
        limit?: number;
    }): Promise<Frame & MessagesReply>;
    /**
     * Read a page of bans. For hosts.
     *
     * @param {{cursor?: string | null, limit?: number}} [page]
     * @returns {Promise<Frame & BansReply>}
     */
    listBans({ cursor, limit }?: {
        cursor?: string | null;
        limit?: number;
    }): Promise<Frame & BansReply>;
    /**
     * Ban a user, or somebody who is or was in the room; give one of the two ids. They need not be there now. For hosts.
     *
     * @param {{userId?: string, participantId?: string, reason?: string}} who
     */
    ban({ userId, participantId, reason }: {
        userId?: string;
        participantId?: string;
        reason?: string;
    }): Promise<Frame>;
    /**
     * Lift the ban of a user, or the one with the id that `listBans` shows. For hosts.
     *
     * @param {string | {banId: string}} who
     */
    unban(who: string | {
        banId: string;
    }): Promise<Frame>;
}
