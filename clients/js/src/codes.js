/** Codes, as people paste them: with the link around them. */

/**
 * Find the room's code in a link; what is no link is returned as it is, for the server folds codes by itself.
 *
 * @param {string} text Like `abc-def-ghi`, `https://meet.example/#abc-def-ghi` or `https://meet.example/#code=abc-def-ghi&ticket=…`.
 */
export function codeOf(text) {
  const part = after(text, "#") || after(text, "?");
  const given = new URLSearchParams(part);
  const [first = ""] = given.keys();
  return (given.get("code") || given.get("room") || first).trim() || text;
}

/**
 * @param {string} text
 * @param {string} mark
 */
function after(text, mark) {
  return text.split(mark).slice(1).join(mark);
}
