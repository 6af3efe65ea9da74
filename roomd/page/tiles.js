/** The tiles: one for every participant, with what they send or their initials. */

import { hue, icon, initials, make, reconcile } from "./dom.js";
import { nameBox, showName } from "./people.js";

/**
 * @typedef {object} Tile what a tile shows
 * @property {string} id
 * @property {string} name
 * @property {string} label the name, with a number when others have it too
 * @property {boolean} isUser whether the identity was verified
 * @property {boolean} mine
 * @property {boolean} held the connection dropped, the seat waits
 * @property {boolean} muted
 * @property {number} hand its place among those raised, from 1; 0: it is not raised
 * @property {boolean} sharing
 * @property {MediaStream | null} stream
 * @property {boolean} [dark] that the stream has no picture at the moment
 */

/** The shapes a tile may have, width by height: on a wide stage, and on one that is upright. */
const SHAPES = {
  wide: { least: 4 / 3, most: 16 / 9, wanted: 16 / 9 },
  upright: { least: 9 / 16, most: 16 / 9, wanted: 1 },
};
/** Pixels: the smallest tile. If that does not fit, the stage scrolls. */
const LOWEST = 110;
const GAP = 12;

/** Lays the tiles out so that they are as large as they can be. */
export class Tiles {
  /**
   * @param {HTMLElement} list
   * @param {() => void} onBlocked called when the browser plays no sound before a click
   */
  constructor(list, onBlocked) {
    this._list = list;
    this._onBlocked = onBlocked;
    new ResizeObserver(() => this._layOut()).observe(list);
  }

  /** @param {Tile[]} tiles */
  render(tiles) {
    reconcile(this._list, tiles, {
      key: (tile) => tile.id,
      create,
      update: (element, tile) => this._update(element, tile),
    });
    this._layOut();
  }

  /** Play again what the browser has blocked; call it from a click. */
  play() {
    for (const video of this._list.querySelectorAll("video")) void video.play().catch(() => undefined);
  }

  /**
   * @param {HTMLElement} element
   * @param {Tile} tile
   */
  _update(element, tile) {
    element.classList.toggle("held", tile.held);
    element.classList.toggle("sharing", tile.sharing);
    const video = /** @type {HTMLVideoElement} */ (element.querySelector("video"));
    video.classList.toggle("mirrored", tile.mine && !tile.sharing);
    video.hidden = tile.stream === null || tile.dark === true; // before its first frame it is transparent
    if (video.srcObject !== tile.stream) {
      video.muted = tile.mine; // the own voice
      video.srcObject = tile.stream;
      if (tile.stream) video.play().catch((error) => error.name === "NotAllowedError" && this._onBlocked());
    }
    text(part(element, ".avatar span"), initials(tile.name));
    showName(part(element, ".label"), tile.label, tile.isUser);
    part(element, ".muted").toggleAttribute("hidden", !tile.muted);
    part(element, ".raised").hidden = !tile.hand;
    text(part(element, ".raised b"), tile.hand > 0 ? String(tile.hand) : "");
    part(element, ".held-note").hidden = !tile.held;
  }

  _layOut() {
    const count = this._list.children.length;
    const { clientWidth: width, clientHeight: height } = this._list;
    const shape = width < height ? SHAPES.upright : SHAPES.wide;
    let best = { size: 0, width, height };
    for (let columns = 1; columns <= count; columns++) {
      const rows = Math.ceil(count / columns);
      const wide = (width - GAP * (columns - 1)) / columns;
      const high = Math.max(LOWEST, (height - GAP * (rows - 1)) / rows);
      const size = Math.min(wide, high * shape.wanted);
      if (size <= best.size) continue;
      best = { size, width: Math.min(wide, high * shape.most), height: Math.min(high, wide / shape.least) };
    }
    this._list.style.setProperty("--tile-width", `${Math.floor(best.width)}px`);
    this._list.style.setProperty("--tile-height", `${Math.floor(best.height)}px`);
  }
}

/** @param {Tile} tile */
function create(tile) {
  const avatar = make("div", { className: "avatar" }, make("span", { ariaHidden: "true" }));
  avatar.style.setProperty("--hue", hue(tile.id));
  const raised = make("div", { className: "raised" }, icon("hand", "has a hand raised"), make("b"));
  const you = tile.mine ? [make("span", {}, " (you)")] : [];
  const label = make("div", { className: "label" }, nameBox(), ...you, icon("mic-off", "muted", "muted"));
  const video = make("video", { playsInline: true, autoplay: true, hidden: true, muted: tile.mine });
  const held = make("div", { className: "held-note" }, "Reconnecting…");
  return make("li", { className: "tile" }, avatar, video, held, raised, label);
}

/**
 * @param {Element} element
 * @param {string} selector
 */
function part(element, selector) {
  return /** @type {HTMLElement} */ (element.querySelector(selector));
}

/**
 * @param {Element} element
 * @param {string} words
 */
function text(element, words) {
  if (element.textContent !== words) element.textContent = words;
}
