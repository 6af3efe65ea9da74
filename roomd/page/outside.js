/** What is asked from outside the room: unlock it, as its host, and exchange a ticket for a token. */

import { Refusal } from "./client/roomd.js";

/** @import { Frame } from "./client/roomd.js" */

/** Milliseconds for connecting and both requests. */
const PATIENCE = 10_000;

/**
 * Read the claims of a JWT, which only the server can verify; none in what is no JWT.
 * @param {string} token
 * @returns {{sub?: unknown, roomd?: {admin?: unknown}}}
 */
export function claimsOf(token) {
  try {
    const bytes = Uint8Array.from(atob((token.split(".")[1] ?? "").replace(/-/gu, "+").replace(/_/gu, "/")), (char) => char.charCodeAt(0));
    return Object(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return {};
  }
}

/**
 * Tell whether somebody may unlock a room. Never rejects.
 * @param {string} url of the socket
 * @param {string} code
 * @param {string} token
 */
export async function mayUnlock(url, code, token) {
  const { sub, roomd } = claimsOf(token);
  if (roomd?.admin === true) return true;
  try {
    const { room } = await ask(url, token, "get-room", { code });
    return room?.hostId === sub && sub !== undefined;
  } catch {
    return false;
  }
}

/**
 * Unlock a room. Rejects with `Refusal`.
 * @param {string} url of the socket
 * @param {string} code
 * @param {string} token
 */
export async function unlock(url, code, token) {
  await ask(url, token, "update-room", { code, isLocked: false });
}

/**
 * Exchange a ticket, which is good once, for a token. Rejects with `Refusal`.
 * @param {string} url of the socket
 * @param {string} ticket
 */
export async function exchange(url, ticket) {
  const { token } = await talk(url, [{ type: "authenticate", ticket }]);
  return String(token);
}

/**
 * Send one request as a user.
 * @param {string} url
 * @param {string} token
 * @param {string} type
 * @param {Record<string, unknown>} fields
 */
function ask(url, token, type, fields) {
  return talk(url, [{ type: "authenticate", token }, { ...fields, type }]);
}

/**
 * Send requests on a connection of their own.
 * @param {string} url
 * @param {object[]} requests
 * @returns {Promise<Frame>} the reply to the last one; rejects with `Refusal`
 */
async function talk(url, requests) {
  const socket = new WebSocket(url, ["roomd.v1"]);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  try {
    return await new Promise((resolve, reject) => {
      const lost = () => reject(new Refusal(0, "unreachable", "The server cannot be reached"));
      timer = setTimeout(lost, PATIENCE);
      socket.onclose = lost;
      socket.onopen = () => {
        for (const [at, request] of requests.entries()) socket.send(JSON.stringify({ ...request, id: at + 1 }));
      };
      socket.onmessage = ({ data }) => {
        const frame = JSON.parse(data);
        if (frame.type === "error") reject(new Refusal(frame.statusCode, frame.code, frame.message, frame.retryAfter ?? null));
        else if (frame.id === requests.length) resolve(frame);
      };
    });
  } finally {
    clearTimeout(timer);
    socket.onclose = null;
    socket.close();
  }
}
