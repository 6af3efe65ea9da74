/** Links in messages. */

const ADDRESS = /\bhttps?:\/\/[^\s<>"“”«»\p{Cc}\p{Bidi_Control}]+/giu;
const CLOSING = { ")": "(", "]": "[", "}": "{" };

/**
 * Split a text into its links, which are http or https addresses, and what is between them.
 * @param {string} text
 * @returns {{text: string, href: string | null}[]} in order; together they are the whole text
 */
export function splitLinks(text) {
  const parts = [];
  let end = 0;
  for (const { 0: match, index } of text.matchAll(ADDRESS)) {
    const address = trim(match);
    if (!URL.canParse(address)) continue;
    if (index > end) parts.push({ text: text.slice(end, index), href: null });
    parts.push({ text: address, href: address });
    end = index + address.length;
  }
  if (end < text.length) parts.push({ text: text.slice(end), href: null });
  return parts;
}

/**
 * Take off the punctuation behind an address that belongs to the sentence, and brackets that were opened before it.
 * @param {string} address
 */
function trim(address) {
  for (;;) {
    const last = address.at(-1) ?? "";
    const opening = CLOSING[/** @type {keyof typeof CLOSING} */ (last)];
    const isUnopened = opening !== undefined && address.split(last).length > address.split(opening).length;
    if (!isUnopened && !/[.,;:!?'’*_~…]/u.test(last)) return address;
    address = address.slice(0, -1);
  }
}
