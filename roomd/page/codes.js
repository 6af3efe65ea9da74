/** Room codes and links as people paste them. */

/**
 * Fold a code to the form `abc-def-ghi`, of three to five groups, as the server does; null if the text is no code.
 * @param {string} text
 */
export function fold(text) {
  const letters = text
    .normalize("NFKC")
    .replace(/[\p{Pd}\u2212\s\p{Default_Ignorable_Code_Point}]+/gu, "") // U+2212 is the minus sign
    .replace(/^[\p{P}\p{S}]+|[\p{P}\p{S}]+$/gu, "")
    .toLowerCase();
  return /^(?:[a-z]{3}){3,5}$/u.test(letters) ? letters.replace(/...(?=.)/gu, "$&-") : null;
}

/**
 * Read what an address says: `#abc-def-ghi`, `#code=…&token=…` or `?room=…`. What is missing is empty.
 * @param {string} address
 */
export function parseLink(address) {
  const given = valuesOf(address);
  const query = new URLSearchParams(address.split("#")[0]?.split("?")[1] ?? "");
  return { code: given.get("code") || query.get("room") || "", token: given.get("token") ?? "" };
}

/**
 * Read the one-time ticket in an address, `#ticket=…`; empty without one.
 * @param {string} address
 */
export function ticketIn(address) {
  return valuesOf(address).get("ticket") ?? "";
}

/**
 * Read a code, or a whole link to a room; the code is null if there is none.
 * @param {string} typed
 */
export function readTyped(typed) {
  const { code, token } = parseLink(typed);
  return { code: fold(typed) ?? fold(code), token };
}

/** @param {string} address */
function valuesOf(address) {
  const fragment = decode(address.split("#").slice(1).join("#"));
  return new URLSearchParams(fragment.includes("=") ? fragment : { code: fragment });
}

/** @param {string} fragment */
function decode(fragment) {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}
