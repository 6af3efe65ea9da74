/** What the page keeps in the browser: as an object with the methods of a client's store, which never throw. */

/** @import { Store } from "./client/roomd.js" */

/**
 * Use a storage of the browser; one that it denies to this page keeps nothing.
 * @param {"sessionStorage" | "localStorage"} name
 * @returns {Required<Store>}
 */
function storage(name) {
  /** @type {<T>(action: (storage: Storage) => T) => T | null} */
  const attempt = (action) => {
    try {
      return action(globalThis[name]);
    } catch {
      return null;
    }
  };
  return {
    get: (key) => attempt((storage) => storage.getItem(key)),
    set: (key, value) => void attempt((storage) => storage.setItem(key, value)),
    remove: (key) => void attempt((storage) => storage.removeItem(key)),
  };
}

/** Until the tab is closed, over reloads and crashes. */
export const session = storage("sessionStorage");
/** For all tabs, until somebody clears it. */
export const local = storage("localStorage");
