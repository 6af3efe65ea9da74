/** Requests: their text, and the promises of their replies. */
import type { Frame } from "./types.js";
export type Settle = (reply: Frame | null) => void;
export type Deferred<T> = {
    promise: Promise<T>;
    resolve: (value: T) => void;
    reject: (error: unknown) => void;
};
/** @typedef {(reply: Frame | null) => void} Settle Takes a reply, or null when none can come any more. */
/**
 * @template T
 * @typedef {{promise: Promise<T>, resolve: (value: T) => void, reject: (error: unknown) => void}} Deferred
 */
/**
 * Write a request. Throws `Refusal` with the code "too_long", since the server would close the connection.
 *
 * @param {number | string} id
 * @param {string} type
 * @param {Record<string, unknown>} fields
 * @param {number} [maxFrame] Bytes.
 */
export declare function encode(id: number | string, type: string, fields: Record<string, unknown>, maxFrame?: number): string;
/**
 * Make a promise; one that rejects and is not looked at is no unhandled rejection.
 *
 * @returns {Deferred<any>}
 */
export declare function defer(): Deferred<any>;
/**
 * Settle a promise by the reply: an `error` rejects it, and so does the end of the connection.
 *
 * @param {Pick<Deferred<any>, "resolve" | "reject">} deferred
 * @returns {Settle}
 */
export declare function settleBy({ resolve, reject }: Pick<Deferred<any>, "resolve" | "reject">): Settle;
