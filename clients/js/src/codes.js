/** Codes, as people paste them: with the link around them. */

/**
 * Find the room's code in a link; what is no link is returned as it is, for the server folds codes by itself.
 *
 * @param {string} text Like `abc-def-ghi`, `https://meet.example/#abc-def-ghi` or `https://meet.example/#code=abc-def-ghi&ticket=…`.
 */
export function codeOf(text) {
  if (!/^\s*https?:\/\//i.test(text)) return text;
  const { hash, searchParams } = new URL(text.trim());
  const fragment = hash.slice(1);
  return new URLSearchParams(fragment.includes("=") ? fragment : `code=${fragment}`).get("code") || searchParams.get("room") || text;
}
