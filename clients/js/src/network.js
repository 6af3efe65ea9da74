/** What the browser reports about the network and the page. It may be wrong, so it only starts a check earlier. */

import { world } from "./platform.js";

/** @import { Hints, Options } from "./types.js" */

/** Listens to `online`, `offline` and `visibilitychange`, where there are such events. */
export class Network {
  /** @type {Hints | null | undefined} */
  #window;
  /** @type {Hints | null | undefined} */
  #document;
  #on;

  /**
   * @param {Options} options
   * @param {{online(): void, offline(): void, visible(): void}} on
   */
  constructor({ window = world.window, document = world.document }, on) {
    this.#window = window;
    this.#document = document;
    this.#on = on;
  }

  /** Start to listen. */
  listen() {
    this.#each("addEventListener");
  }

  /** Stop to listen. Doing so twice is fine. */
  unlisten() {
    this.#each("removeEventListener");
  }

  /** @param {"addEventListener" | "removeEventListener"} verb */
  #each(verb) {
    this.#window?.[verb]?.("online", this.#on.online);
    this.#window?.[verb]?.("offline", this.#on.offline);
    this.#document?.[verb]?.("visibilitychange", this.#onVisible);
  }

  #onVisible = () => {
    if (this.#document?.visibilityState === "visible") this.#on.visible();
  };
}
