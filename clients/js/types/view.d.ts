/** View: what a client knows of a room. Frames go in, the news that follow from them come out. */
import type { Message, Participant, Room, Waiting } from "./protocol.js";
import type { Frame, News, Place } from "./types.js";
/** What a client knows of a room. Pure: frames in, news out. Its collections are replaced, never changed in place. */
export declare class View {
    #private;
    /** Names the run of the room in which `seq` counts. */
    epoch: string;
    /** The number of the last event that was applied. */
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
    /** An event is missing: the view is wrong until the next `room-state`. */
    isStale: boolean;
    /** This client's own participant. @returns {Participant | null} */
    get me(): Participant | null;
    /**
     * Take a seat. The `room-state` follows.
     *
     * @param {Participant} participant
     */
    sit(participant: Participant): void;
    /**
     * Wait in the queue. Whoever waits sees nothing of the room.
     *
     * @param {Frame} frame A `waiting`.
     * @returns {News[]}
     */
    wait({ participantId, position, reason }: Frame): News[];
    /**
     * Apply a frame. One of an unknown type, or an event that was applied before, changes nothing.
     *
     * @param {Frame} frame
     * @returns {News[]}
     */
    apply(frame: Frame): News[];
    /**
     * Replace the list of those who wait.
     *
     * @param {Waiting[]} waiting
     * @returns {News[]}
     */
    setLobby(waiting: Waiting[]): News[];
    /**
     * Insert the messages that were sent while there was no connection.
     *
     * @param {string | null} after The id of the last message before that; null when there was none.
     * @param {Message[]} said All there is after it, oldest first.
     * @returns {News[]}
     */
    catchUp(after: string | null, said: Message[]): News[];
    /**
     * Skip the messages that were sent while there was no connection: keep those that follow without a gap.
     *
     * @param {string | null} after As for `catchUp`.
     * @returns {News[]}
     */
    skip(after: string | null): News[];
}
