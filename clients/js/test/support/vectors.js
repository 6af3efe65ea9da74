/** Reading `clients/vectors`. */

import { readFileSync } from "node:fs";

/** @param {string} name */
export const load = (name) => JSON.parse(readFileSync(new URL(`../../../vectors/${name}.json`, import.meta.url), "utf8"));

/**
 * Make a function that writes abbreviations out.
 *
 * @param {Record<string, any>} objects
 */
export function expander(objects) {
  /** @param {any} value @returns {any} */
  return function expand(value) {
    if (Array.isArray(value)) return value.flatMap((item) => expandRange(expand(item)));
    if (value === null || typeof value !== "object") return value;
    const { use, ...changes } = value;
    const fields = Object.entries(changes).map(([key, item]) => [key, expand(item)]);
    return { ...(use ? expand(objects[use]) : {}), ...Object.fromEntries(fields) };
  };
}

/** List what an item of a list stands for. @param {any} item @returns {any[]} */
export function expandRange(item) {
  const range = typeof item === "string" && /^([a-z]+)(\d+)\.\.\1(\d+)$/.exec(item);
  if (range) {
    const [, prefix, first, last] = range;
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => `${prefix}${Number(first) + i}`);
  }
  return typeof item?.id === "string" ? expandRange(item.id).map((id) => ({ ...item, id })) : [item];
}
