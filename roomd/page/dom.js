/** Small helpers for the document. Whatever people wrote gets into it as text only. */

/**
 * Find an element by its id.
 * @template {Element} T
 * @param {string} id
 * @param {new (...args: any[]) => T} kind
 * @returns {T}
 */
export function find(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`The page has no ${kind.name} #${id}`);
  return element;
}

/**
 * Make an element with properties, `aria…` and `data…` ones included, and children.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Partial<HTMLElementTagNameMap[Tag]>} properties
 * @param {(Node | string)[]} children strings become text, never markup
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/**
 * Make an element with a name: whatever direction it is written in, it does not mix with what is around it.
 * @param {string} name
 */
export function bdi(name) {
  return make("bdi", {}, name);
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * Draw one of the page's icons.
 * @param {string} name
 * @param {string} [label] what it says to those who do not see it; without, it is decoration
 * @param {string} [className]
 */
export function icon(name, label = "", className = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon ${className}`);
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else {
    svg.setAttribute("aria-hidden", "true");
  }
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/**
 * Put items into a list, keeping the elements that were there, so that focus and playing videos survive. When the element
 * with the focus goes, the next one gets it, or the one before.
 * @template T
 * @param {Element} list
 * @param {Iterable<T>} items
 * @param {object} how
 * @param {(item: T) => string} how.key
 * @param {(item: T) => HTMLElement} how.create
 * @param {(element: HTMLElement, item: T) => void} [how.update] done to new elements too
 */
export function reconcile(list, items, { key, create, update }) {
  const wanted = [...items];
  const keys = new Set(wanted.map(key));
  /** @type {Map<string, Element>} */
  const old = new Map();
  for (const element of [...list.children]) {
    const { key = "" } = /** @type {HTMLElement} */ (element).dataset;
    if (keys.has(key)) old.set(key, element);
    else removeItem(element);
  }
  let at = list.firstElementChild;
  for (const item of wanted) {
    const element = /** @type {HTMLElement} */ (old.get(key(item)) ?? create(item));
    element.dataset.key = key(item);
    if (element === at) at = at.nextElementSibling;
    else list.insertBefore(element, at);
    update?.(element, item);
  }
}

/** @param {Element} element */
function removeItem(element) {
  const next = element.contains(document.activeElement) ? (element.nextElementSibling ?? element.previousElementSibling) : null;
  const index = buttonsOf(element).findIndex((button) => button === document.activeElement);
  element.remove();
  if (next) (buttonsOf(next)[index] ?? buttonsOf(next)[0])?.focus();
}

/** @param {Element} element */
function buttonsOf(element) {
  return [...element.querySelectorAll("button")].filter((button) => !button.hidden);
}

/**
 * Change a part of the page; if the focus is lost by that, it goes to `fallback`.
 * @param {Element} part
 * @param {HTMLElement} fallback
 * @param {() => void} change
 */
export function keepFocus(part, fallback, change) {
  const had = part.contains(document.activeElement);
  change();
  if (had && !(part.contains(document.activeElement) && document.activeElement?.checkVisibility())) fallback.focus();
}

const SEGMENTER = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/**
 * The letters that stand for a person: of the first word and the last. What people see as one letter is one: a flag, for example.
 * @param {string} name
 */
export function initials(name) {
  const words = name.trim().split(/\s+/u);
  const ends = words.length > 1 ? [words[0], words[words.length - 1]] : [words[0]];
  const letters = ends.map((word) => SEGMENTER.segment(word ?? "").containing(0)?.segment ?? "");
  return letters.join("").toLocaleUpperCase();
}

/**
 * A colour's hue for a person: the same wherever they are shown.
 * @param {string} id
 */
export function hue(id) {
  let sum = 0;
  for (const char of id) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return String(sum);
}
