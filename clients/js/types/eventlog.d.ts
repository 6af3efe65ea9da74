/** The event log of a server, for a backend (docs/protocol.md, section 10). */
import type { LogOptions, LogPart } from "./types.js";
/**
 * Read the event log of a server part after part, for ever, over lost connections and restarts: `for await (const {
 * events, next } of followLog(url, { token, after }))`. The next part is asked for when the one before was taken.
 *
 * While the server cannot be reached, also at first, it waits and tries again. Throws `Refusal` where that does not help:
 * with the code "position_expired" events are missing, and its `oldest` is the position to go on from. Throws what a
 * token function throws at first.
 *
 * @param {string} url Of the WebSocket, like "wss://meet.example/ws".
 * @param {LogOptions} options
 * @returns {AsyncGenerator<LogPart, void, void>}
 */
export declare function followLog(url: string, options: LogOptions): AsyncGenerator<LogPart, void, void>;
