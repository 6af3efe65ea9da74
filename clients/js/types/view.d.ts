/**
 * View: what a client knows of a room. Frames go in, the events that follow from them come out.
 *
 * - `room-state` replaces everything, also one that nobody asked for. When the room was known before, the differences are
 *   returned as events, in the order of one `participants-changed`: joined, updated, left. `replaced` follows when it is
 *   not the first one on its connection: signals may be lost.
 * - Every event with a `seq` must be the next one. If one is missing, the view is stale: it ignores all that follow, and
 *   the client asks for a new `room-state` by joining its room again on the same connection.
 * - Messages have no `seq`. After such a `room-state`, `missed` says what to ask for. The missed messages, and those that
 *   arrive meanwhile, are told together, in order, when the last page was read (see catchup.js).
 *
 * The Python client has the same rules; docs/reference/clients.md describes them and `clients/vectors` tests both.
 */
import { CatchUp } from "./catchup.js";
import type { Message, Participant, Room, Waiting } from "./protocol.js";
import type { Frame, News, Over, Place } from "./types.js";
/** @import { Message, Participant, Room, Waiting } from "./protocol.js" */
/** @import { Frame, News, Over, Place } from "./types.js" */
/** What a client knows of a room. Pure: frames in, events out. Its collections are replaced, never changed in place. */
export declare class View {
    #private;
    /**
     * Before the first seat or place it is "connecting".
     *
     * @type {"connecting" | "waiting" | "joined" | "reconnecting" | "over"}
     */
    status: "connecting" | "waiting" | "joined" | "reconnecting" | "over";
    /** Names the run of the room in which `seq` counts. */
    epoch: string;
    /** The number of the last event that was applied. */
    seq: number;
    /** @type {Room | null} */
    room: Room | null;
    /** Everyone who holds a seat, by id, in the order they took it. @type {Map<string, Participant>} */
    participants: Map<string, Participant>;
    /** The last 500, public and private, oldest first. @type {Message[]} */
    messages: Message[];
    /** Messages are missing: ask for a page after its `delay`, again and again, until this is null. @type {CatchUp | null} */
    missed: CatchUp | null;
    /** Who waits, in order; for hosts. @type {Waiting[]} */
    lobby: Waiting[];
    /** Where this client itself waits. @type {Place | null} */
    place: Place | null;
    /** Why the meeting is over. @type {Over | null} */
    over: Over | null;
    /** Takes the seat, or the place in the queue, back after a drop. @type {string | null} */
    resumeToken: string | null;
    /** An event is missing: the view is wrong until the next `room-state`. */
    isStale: boolean;
    /** This client's own participant. @returns {Participant | null} */
    get me(): Participant | null;
    /**
     * Apply a frame. One of an unknown type, or an event that was applied before, changes nothing; nor does any frame once
     * the meeting is over.
     *
     * @param {Frame} frame
     * @returns {News[]}
     */
    apply(frame: Frame): News[];
    /** Note that the connection is lost: the frames that follow come by another one. */
    drop(): void;
    /** Note that the held seat, or the place in the queue, has expired. */
    forgetSeat(): void;
    /**
     * End the meeting. The first reason counts.
     *
     * @param {Over} over
     */
    finish(over: Over): void;
}
