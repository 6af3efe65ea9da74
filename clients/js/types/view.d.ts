/** View: what a client knows of a room. Frames go in, the news that follow from them come out. */
import type { Message, Participant, Room, Waiting } from "./protocol.js";
import type { Frame, News, Place } from "./types.js";
/** What a client knows of a room. Pure: frames in, news out. Its collections are replaced, never changed. */
export declare class View {
    #private;
    /** Names the run of the room that `seq` counts in. */
    epoch: string;
    /** The last event taken in. */
    seq: number;
    /** @type {Room | null} */
    room: Room | null;
    /** In the order of the room, this client's own included. @type {Map<string, Participant>} */
    participants: Map<string, Participant>;
    /** Public and private, oldest first. @type {Message[]} */
    messages: Message[];
    /** Who waits; for hosts. @type {Waiting[]} */
    lobby: Waiting[];
    /** Where this client itself waits. @type {Place | null} */
    place: Place | null;
    /** An event is missing: only a `room-state` helps. */
    isStale: boolean;
    /** This client's own participant. @returns {Participant | null} */
    get me(): Participant | null;
    /**
     * Sit down; the `room-state` follows.
     *
     * @param {Participant} participant
     */
    sit(participant: Participant): void;
    /**
     * Wait; who waits sees nothing of the room.
     *
     * @param {Frame} frame A `waiting`.
     * @returns {News[]}
     */
    wait({ participantId, position, reason }: Frame): News[];
    /**
     * Take a frame in. Those of unknown types, and events heard before, change nothing.
     *
     * @param {Frame} frame
     * @returns {News[]}
     */
    apply(frame: Frame): News[];
    /**
     * @param {Waiting[]} waiting
     * @returns {News[]}
     */
    setLobby(waiting: Waiting[]): News[];
    /**
     * Put in what was said while nobody listened.
     *
     * @param {string | null} after The id of the last message before that; null when there was none.
     * @param {Message[]} said All there is after it, oldest first.
     * @returns {News[]}
     */
    catchUp(after: string | null, said: Message[]): News[];
    /**
     * Give up what was said while nobody listened: keep what follows it without a gap.
     *
     * @param {string | null} after As for `catchUp`.
     * @returns {News[]}
     */
    skip(after: string | null): News[];
}
