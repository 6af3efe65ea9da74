/** What the browser reports about the network and the page. It may be wrong, so it only starts a check earlier. */
import type { Options } from "./types.js";
/** @import { Hints, Options } from "./types.js" */
/** Listens to `online`, `offline` and `visibilitychange`, where there are such events. */
export declare class Network {
    #private;
    /**
     * @param {Options} options
     * @param {{online(): void, offline(): void, visible(): void}} on
     */
    constructor({ window, document }: Options, on: {
        online(): void;
        offline(): void;
        visible(): void;
    });
    /** Start to listen. */
    listen(): void;
    /** Stop to listen. Doing so twice is fine. */
    unlisten(): void;
}
