/**
 * The kept seat: the resume token in the application's store, so that a page that is loaded again takes its seat back;
 * and the lock by which tabs that share a copy of the store agree whose seat it is.
 */
import type { Clock, Options } from "./types.js";
export type KeptSeat = {
    participantId: string;
    resumeToken: string;
};
/** @typedef {{participantId: string, resumeToken: string}} KeptSeat */
export declare class Seats {
    #private;
    /**
     * @param {Options} options
     * @param {string} code The room's.
     * @param {Clock} clock
     */
    constructor({ store, locks }: Options, code: string, clock: Clock);
    /** The seat that was kept, if there is one. @returns {KeptSeat | null} */
    get kept(): KeptSeat | null;
    /**
     * Keep a seat, or a place in the queue, and have its lock as soon as no other tab has it.
     *
     * @param {KeptSeat} seat
     */
    keep(seat: KeptSeat): void;
    /** Forget the seat: it is gone. */
    forget(): void;
    /**
     * Get the lock of a seat.
     *
     * @param {string} participantId
     * @param {number | null} [patience] Milliseconds to wait for it; null: as long as it takes.
     * @returns {Promise<boolean>} False when another tab has it.
     */
    claim(participantId: string, patience?: number | null): Promise<boolean>;
    /** Give up the lock. Doing so twice is fine. */
    release(): void;
}
