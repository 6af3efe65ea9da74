/** Codes, as people paste them: with the link around them. */
/**
 * Find the room's code in a link; what is no link is returned as it is, for the server folds codes by itself.
 *
 * @param {string} text Like `abc-def-ghi`, `https://meet.example/#abc-def-ghi` or `https://meet.example/#code=abc-def-ghi&ticket=…`.
 */
export declare function codeOf(text: string): string;
