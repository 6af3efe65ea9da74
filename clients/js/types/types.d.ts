/** The types of the client itself. Those of the protocol are in protocol.js, which is generated. */
import type { Message, Participant, Room, Waiting, WaitReason } from "./protocol.js";
export type Frame = {
    type: string;
    id?: number | string | null;
    [key: string]: any;
};
export type Status = "new" | "connecting" | "joined" | "waiting" | "reconnecting" | "over";
export type Place = {
    /**
     * The id the participant will have.
     */
    participantId: string;
    /**
     * From 1, in the order people came.
     */
    position: number;
    reason: WaitReason;
};
export type Over = {
    /**
     * For programs: "left", "room_ended", "removed", "denied", "taken_over", "bad_token",
     * "bad_frame", "unreachable" (the first connection could not be made), or the server's code for refusing to let this
     * client (back) in, like "room_locked".
     */
    code: string;
    /**
     * For people.
     */
    message: string;
    /**
     * Of "removed", the words of the host. Of "room_ended", "expired", "empty" or "deleted",
     * if no host ended the room. Null when there is none.
     */
    reason: string | null;
};
export type MeetingEvents = {
    /**
     * Something that a `Meeting` shows has changed; comes after the events that say what.
     */
    change: {};
    /**
     * `retryIn`: seconds until the next attempt, while there is none.
     */
    status: {
        status: Status;
        retryIn?: number;
    };
    /**
     * Somebody else came in.
     */
    joined: {
        participant: Participant;
    };
    /**
     * Somebody changed, this client included: presence, or the
     * connection was lost or is back.
     */
    updated: {
        participant: Participant;
    };
    /**
     * Somebody else left.
     */
    left: {
        participant: Participant;
    };
    /**
     * A message was sent, by this client too.
     */
    message: {
        message: Message;
    };
    /**
     * So many messages were sent while this client
     * was away that it did not read them all: those between the messages with these ids. `messages` begins after the gap;
     * `listMessages({cursor: after})` reads what is in it. Null: from the first message on, or to the last.
     */
    "messages-missed": {
        after: string | null;
        before: string | null;
    };
    /**
     * Another participant sent a signal to this one.
     */
    signal: {
        from: string;
        data: any;
    };
    /**
     * The room's settings changed.
     */
    room: {
        room: Room;
    };
    /**
     * This client waits: at first, after a drop, and when position
     * or reason changed.
     */
    place: {
        place: Place;
    };
    /**
     * Who waits has changed; for hosts.
     */
    lobby: {
        waiting: Waiting[];
    };
    /**
     * A host asks this client to mute itself.
     */
    "mute-requested": {};
    /**
     * The server sent the whole room anew on the same connection. The changes were told before;
     * signals may be lost, so links to other participants must be begun anew.
     */
    replaced: {};
    /**
     * The end.
     */
    over: Over;
};
export type News = {
    [K in keyof MeetingEvents]: {
        type: K;
        detail: MeetingEvents[K];
    };
}[keyof MeetingEvents];
export type MeetingEvent<D> = Event & {
    readonly detail: D;
};
export type MeetingListener<D> = ((event: MeetingEvent<D>) => void) | {
    handleEvent(event: MeetingEvent<D>): void;
};
export type MeetingTarget = {
    addEventListener<K extends keyof MeetingEvents>(type: K, listener: MeetingListener<MeetingEvents[K]> | null, options?: boolean | {
        once?: boolean;
        passive?: boolean;
        capture?: boolean;
        signal?: AbortSignal;
    }): void;
    addEventListener(type: string, listener: MeetingListener<any> | null, options?: boolean | {
        once?: boolean;
        passive?: boolean;
        capture?: boolean;
        signal?: AbortSignal;
    }): void;
    removeEventListener<K extends keyof MeetingEvents>(type: K, listener: MeetingListener<MeetingEvents[K]> | null, options?: boolean | {
        capture?: boolean;
    }): void;
    removeEventListener(type: string, listener: MeetingListener<any> | null, options?: boolean | {
        capture?: boolean;
    }): void;
    dispatchEvent(event: Event): boolean;
};
export type Socket = {
    readyState: number;
    send: (data: string) => void;
    close: (code?: number, reason?: string) => void;
    addEventListener: {
        bivariant(type: any, listener: (event: any) => void): void;
    }["bivariant"];
};
export type SocketClass = new (url: string, protocols: string[]) => Socket;
export type Clock = {
    now: () => number;
    setTimeout: (callback: () => void, milliseconds: number) => any;
    clearTimeout: (timer: any) => void;
};
export type Hints = {
    addEventListener: (type: string, listener: () => void) => void;
    removeEventListener: (type: string, listener: () => void) => void;
    visibilityState?: string;
};
export type Store = {
    get: (key: string) => string | null | undefined;
    set: (key: string, value: string) => void;
    remove: (key: string) => void;
};
export type SeatLocks = {
    request: (name: string, options: {
        signal: AbortSignal;
    }, callback: () => Promise<unknown>) => Promise<unknown>;
};
export type Options = {
    /**
     * The room's code, or a link to the room.
     */
    code: string;
    /**
     * 1 to 50 characters; needed without a token.
     */
    guestName?: string;
    /**
     * A JWT, or
     * a function that gets one: it is called for every connection, so that an expired token is replaced.
     */
    token?: string | (() => string | null | undefined | Promise<string | null | undefined>) | null;
    /**
     * Keeps the resume token. Without one, a page that is loaded again joins anew.
     */
    store?: Store;
    /**
     * With a store: by these, tabs agree whose seat it is. Default: `navigator.locks`.
     */
    locks?: SeatLocks | null;
    /**
     * Wait for a seat when the room is full. Default: false.
     */
    wait?: boolean;
    /**
     * Default: the global one.
     */
    WebSocket?: SocketClass;
    /**
     * Bytes the server accepts in a frame. Default: 65,536.
     */
    maxFrame?: number;
    /**
     * For tests.
     */
    clock?: Clock;
    /**
     * For tests; like `Math.random`.
     */
    random?: () => number;
    /**
     * Dispatches `online` and `offline`. Default: the global one, if there is one.
     */
    window?: Hints | null;
    /**
     * Dispatches `visibilitychange`. Default: the global one, if there is one.
     */
    document?: Hints | null;
};
export type LogEvent = {
    /**
     * Its own: the same whichever way it is read.
     */
    id: string;
    position: string;
    at: string;
    /**
     * Like "participant-left".
     */
    type: string;
    room: {
        id: string;
        code: string;
        externalId?: string | null;
        metadata?: Record<string, any>;
    } & Record<string, any>;
    /**
     * Of "participant-…" and "waiting-…".
     */
    participant?: Participant;
    reason?: string;
    /**
     * Seconds; of "participant-left".
     */
    duration?: number;
    /**
     * Of "message-sent".
     */
    message?: any;
    /**
     * Of "user-banned" and "user-unbanned".
     */
    ban?: any;
};
export type LogPart = {
    /**
     * In their order; none where events of other rooms were passed over.
     */
    events: LogEvent[];
    /**
     * The position to go on from. Store it in one transaction with what you do with the events.
     */
    next: string;
};
export type LogOptions = {
    /**
     * That of an admin or, with `rooms`, of the host of these rooms.
     */
    token: Options["token"];
    /**
     * The `next` that was stored last, or "latest". Default: the oldest event that is kept.
     */
    after?: string | null;
    /**
     * Codes. Default: all rooms.
     */
    rooms?: string[];
    /**
     * Ends it.
     */
    signal?: AbortSignal;
    /**
     * Told that the server could not be reached, or
     * refused for now, and the seconds until the next attempt.
     */
    onRetry?: (retry: {
        reason: string;
        delay: number;
    }) => void;
    /**
     * Default: the global one.
     */
    fetch?: typeof globalThis.fetch;
    /**
     * For tests.
     */
    clock?: Clock;
    /**
     * For tests; like `Math.random`.
     */
    random?: () => number;
};
/** @import { Message, Participant, Room, Waiting, WaitReason } from "./protocol.js" */
/**
 * A frame of the protocol.
 *
 * @typedef {{type: string, id?: number | string | null, [key: string]: any}} Frame
 */
/** @typedef {"new" | "connecting" | "joined" | "waiting" | "reconnecting" | "over"} Status */
/**
 * Where this client itself waits.
 *
 * @typedef {object} Place
 * @property {string} participantId The id the participant will have.
 * @property {number} position From 1, in the order people came.
 * @property {WaitReason} reason
 */
/**
 * Why a meeting is over.
 *
 * @typedef {object} Over
 * @property {string} code For programs: "left", "room_ended", "removed", "denied", "taken_over", "bad_token",
 *   "bad_frame", "unreachable" (the first connection could not be made), or the server's code for refusing to let this
 *   client (back) in, like "room_locked".
 * @property {string} message For people.
 * @property {string | null} reason Of "removed", the words of the host. Of "room_ended", "expired", "empty" or "deleted",
 *   if no host ended the room. Null when there is none.
 */
/**
 * The events of a `Meeting` and what stands in their `detail`.
 *
 * @typedef {object} MeetingEvents
 * @property {{}} change Something that a `Meeting` shows has changed; comes after the events that say what.
 * @property {{status: Status, retryIn?: number}} status `retryIn`: seconds until the next attempt, while there is none.
 * @property {{participant: Participant}} joined Somebody else came in.
 * @property {{participant: Participant}} updated Somebody changed, this client included: presence, or the
 *   connection was lost or is back.
 * @property {{participant: Participant}} left Somebody else left.
 * @property {{message: Message}} message A message was sent, by this client too.
 * @property {{after: string | null, before: string | null}} messages-missed So many messages were sent while this client
 *   was away that it did not read them all: those between the messages with these ids. `messages` begins after the gap;
 *   `listMessages({cursor: after})` reads what is in it. Null: from the first message on, or to the last.
 * @property {{from: string, data: any}} signal Another participant sent a signal to this one.
 * @property {{room: Room}} room The room's settings changed.
 * @property {{place: Place}} place This client waits: at first, after a drop, and when position
 *   or reason changed.
 * @property {{waiting: Waiting[]}} lobby Who waits has changed; for hosts.
 * @property {{}} mute-requested A host asks this client to mute itself.
 * @property {{}} replaced The server sent the whole room anew on the same connection. The changes were told before;
 *   signals may be lost, so links to other participants must be begun anew.
 * @property {Over} over The end.
 */
/**
 * An event as a value, by the name under which a `Meeting` dispatches it.
 *
 * @typedef {{[K in keyof MeetingEvents]: {type: K, detail: MeetingEvents[K]}}[keyof MeetingEvents]} News
 */
/**
 * @template D
 * @typedef {Event & {readonly detail: D}} MeetingEvent
 */
/**
 * @template D
 * @typedef {((event: MeetingEvent<D>) => void) | {handleEvent(event: MeetingEvent<D>): void}} MeetingListener
 */
/**
 * `EventTarget`, with the events of a `Meeting`.
 *
 * @typedef {{
 *   addEventListener<K extends keyof MeetingEvents>(type: K, listener: MeetingListener<MeetingEvents[K]> | null,
 *     options?: boolean | {once?: boolean, passive?: boolean, capture?: boolean, signal?: AbortSignal}): void,
 *   addEventListener(type: string, listener: MeetingListener<any> | null,
 *     options?: boolean | {once?: boolean, passive?: boolean, capture?: boolean, signal?: AbortSignal}): void,
 *   removeEventListener<K extends keyof MeetingEvents>(type: K, listener: MeetingListener<MeetingEvents[K]> | null,
 *     options?: boolean | {capture?: boolean}): void,
 *   removeEventListener(type: string, listener: MeetingListener<any> | null,
 *     options?: boolean | {capture?: boolean}): void,
 *   dispatchEvent(event: Event): boolean,
 * }} MeetingTarget
 */
/**
 * What is used of a WebSocket.
 *
 * @typedef {object} Socket
 * @property {number} readyState
 * @property {(data: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 * @property {{bivariant(type: any, listener: (event: any) => void): void}["bivariant"]} addEventListener
 */
/** @typedef {new (url: string, protocols: string[]) => Socket} SocketClass */
/**
 * Time, as a `Meeting` needs it. `now` is in milliseconds and never runs backwards.
 *
 * @typedef {object} Clock
 * @property {() => number} now
 * @property {(callback: () => void, milliseconds: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */
/**
 * What is used of `window` and `document`, as far as there are any.
 *
 * @typedef {object} Hints
 * @property {(type: string, listener: () => void) => void} addEventListener
 * @property {(type: string, listener: () => void) => void} removeEventListener
 * @property {string} [visibilityState]
 */
/**
 * Where the resume token is kept, so that a page that is loaded again takes its seat back: Web Storage, for example. What
 * the methods throw is ignored.
 *
 * @typedef {object} Store
 * @property {(key: string) => string | null | undefined} get
 * @property {(key: string, value: string) => void} set
 * @property {(key: string) => void} remove
 */
/**
 * What is used of `navigator.locks`.
 *
 * @typedef {object} SeatLocks
 * @property {(name: string, options: {signal: AbortSignal}, callback: () => Promise<unknown>) => Promise<unknown>} request
 */
/**
 * @typedef {object} Options
 * @property {string} code The room's code, or a link to the room.
 * @property {string} [guestName] 1 to 50 characters; needed without a token.
 * @property {string | (() => string | null | undefined | Promise<string | null | undefined>) | null} [token] A JWT, or
 *   a function that gets one: it is called for every connection, so that an expired token is replaced.
 * @property {Store} [store] Keeps the resume token. Without one, a page that is loaded again joins anew.
 * @property {SeatLocks | null} [locks] With a store: by these, tabs agree whose seat it is. Default: `navigator.locks`.
 * @property {boolean} [wait] Wait for a seat when the room is full. Default: false.
 * @property {SocketClass} [WebSocket] Default: the global one.
 * @property {number} [maxFrame] Bytes the server accepts in a frame. Default: 65,536.
 * @property {Clock} [clock] For tests.
 * @property {() => number} [random] For tests; like `Math.random`.
 * @property {Hints | null} [window] Dispatches `online` and `offline`. Default: the global one, if there is one.
 * @property {Hints | null} [document] Dispatches `visibilitychange`. Default: the global one, if there is one.
 */
/**
 * An event of the event log, as roomd's `docs/protocol.md` describes it (section 10). There may be types that are not known.
 *
 * @typedef {object} LogEvent
 * @property {string} id Its own: the same whichever way it is read.
 * @property {string} position
 * @property {string} at
 * @property {string} type Like "participant-left".
 * @property {{id: string, code: string, externalId?: string | null, metadata?: Record<string, any>} & Record<string, any>} room
 * @property {Participant} [participant] Of "participant-…" and "waiting-…".
 * @property {string} [reason]
 * @property {number} [duration] Seconds; of "participant-left".
 * @property {any} [message] Of "message-sent".
 * @property {any} [ban] Of "user-banned" and "user-unbanned".
 */
/**
 * A part of the event log.
 *
 * @typedef {object} LogPart
 * @property {LogEvent[]} events In their order; none where events of other rooms were passed over.
 * @property {string} next The position to go on from. Store it in one transaction with what you do with the events.
 */
/**
 * How the event log is followed.
 *
 * @typedef {object} LogOptions
 * @property {Options["token"]} token That of an admin or, with `rooms`, of the host of these rooms.
 * @property {string | null} [after] The `next` that was stored last, or "latest". Default: the oldest event that is kept.
 * @property {string[]} [rooms] Codes. Default: all rooms.
 * @property {AbortSignal} [signal] Ends it.
 * @property {(retry: {reason: string, delay: number}) => void} [onRetry] Told that the server could not be reached, or
 *   refused for now, and the seconds until the next attempt.
 * @property {typeof globalThis.fetch} [fetch] Default: the global one.
 * @property {Clock} [clock] For tests.
 * @property {() => number} [random] For tests; like `Math.random`.
 */
export {};
