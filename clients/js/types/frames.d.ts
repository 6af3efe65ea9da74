/** Reading frames: whether they have the shape that the client relies on. Other keys are taken as they come. */
import type { Frame } from "./types.js";
/** @import { Frame } from "./types.js" */
/**
 * Read a frame; null where the data is none.
 *
 * @param {unknown} data
 * @returns {Frame | null}
 */
export declare function parse(data: unknown): Frame | null;
/** @param {any} value */
export declare function hasId(value: any): boolean;
/** @param {Frame} frame A `participants-changed`. */
export declare function isChange({ joined, updated, left }: Frame): boolean;
/** @param {Frame} frame A `room-state`. */
export declare function isState({ seq, room, participants, messages }: Frame): boolean;
/**
 * Compare values that came as JSON.
 *
 * @param {unknown} a
 * @param {unknown} b
 */
export declare function same(a: unknown, b: unknown): boolean;
